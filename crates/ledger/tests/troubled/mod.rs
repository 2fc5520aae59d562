//! A wire that loses answers, says other things than the service, and counts the pages of listings.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use seam::{Body, Fault, Request, Response, Wire};

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// It is carried out, and its answer is lost.
    AnswerLost,
    /// It does not arrive, and this is the answer.
    Status(u16),
    /// Nobody listens.
    Refused,
}

/// The wire to a service, and its troubles.
#[derive(Debug)]
pub(crate) struct Troubled {
    wire: std::sync::Arc<dyn Wire>,
    always: Mutex<Option<Trouble>>,
    puts: Mutex<VecDeque<Trouble>>,
    lists: AtomicUsize,
}

impl Troubled {
    pub(crate) fn new(wire: std::sync::Arc<dyn Wire>) -> Troubled {
        let (always, puts) = (Mutex::default(), Mutex::default());
        Troubled { wire, always, puts, lists: AtomicUsize::new(0) }
    }

    /// Lets every request meet with `trouble`, or none any more.
    pub(crate) fn always(&self, trouble: Option<Trouble>) {
        *self.always.lock().unwrap() = trouble;
    }

    /// Lets the next PUT meet with `trouble`.
    pub(crate) fn next_put(&self, trouble: Trouble) {
        self.puts.lock().unwrap().push_back(trouble);
    }

    /// How many pages were listed since the last call.
    pub(crate) fn lists(&self) -> usize {
        self.lists.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl Wire for Troubled {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        if request.uri().query().is_some_and(|it| it.contains("comp=list")) {
            self.lists.fetch_add(1, Ordering::SeqCst);
        }
        let put = *request.method() == Method::PUT;
        let next = if put { self.puts.lock().unwrap().pop_front() } else { None };
        let always = *self.always.lock().unwrap();
        match next.or(always) {
            None => self.wire.send(request).await,
            Some(Trouble::AnswerLost) => {
                self.wire.send(request).await?.collect(1 << 20).await?;
                Err(Fault::PerhapsDone("the connection was reset".to_owned()))
            }
            Some(Trouble::Status(status)) => Ok(Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Body::full(Bytes::new()),
            }),
            Some(Trouble::Refused) => Err(Fault::NotSent("connection refused".to_owned())),
        }
    }
}
