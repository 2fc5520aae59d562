//! HTTP to the byte: what a client of a library would never send.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// A request, as the bytes of its head and of its body.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    head: String,
    body: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Request {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n");
        Request { head, body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Request {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub(crate) fn invocation(self, id: &str) -> Request {
        self.header("X-Azure-Functions-InvocationId", id)
    }

    /// `body` in chunks of so many bytes.
    pub(crate) fn chunked(mut self, body: &[u8], size: usize) -> Request {
        for chunk in body.chunks(size) {
            self.body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            self.body.extend(chunk);
            self.body.extend(b"\r\n");
        }
        self.body.extend(b"0\r\n\r\n");
        self.header("Transfer-Encoding", "chunked")
    }

    /// `body` with its length.
    pub(crate) fn sized(mut self, body: &[u8]) -> Request {
        self.body = body.to_vec();
        self.header("Content-Length", &body.len().to_string())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.head).into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A connection to the handler, on which nobody waits for ever.
pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Sends `request` and reads its answer; None when the other side hung up without one.
pub(crate) fn send(port: u16, request: &Request) -> Option<Answer> {
    let mut stream = connect(port);
    // A server that turns a request away does not read it to its end.
    let _ = stream.write_all(&request.bytes());
    read(stream)
}

/// The status of the first answer to `bytes`; 0 when the other side hung up without one.
pub(crate) fn send_bytes(port: u16, bytes: &[u8]) -> u16 {
    let mut stream = connect(port);
    let _ = stream.write_all(bytes);
    read(stream).map_or(0, |it| it.status)
}

/// Reads the answer that is to come.
pub(crate) fn read(mut stream: TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        bytes.extend(&chunk[..read]);
    }
    let _ = stream.shutdown(Shutdown::Both);
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let headers = lines.filter_map(|it| it.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Some(Answer { status, headers: headers.collect(), body: bytes[end + 4..].to_vec() })
}
