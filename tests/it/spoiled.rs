//! Wires that misbehave: requests and answers that are lost by a seed, messages that are delivered
//! twice, and two handlers that share the queues.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use seam::{Fault, Request, Response, Wire};

type World = Box<dyn FnOnce(Arc<dyn Wire>) -> Arc<dyn Wire>>;
type Handler = Box<dyn FnOnce(Vec<Arc<dyn Wire>>) -> Arc<dyn Wire>>;

/// How the wires of a desk are spoiled.
pub(crate) struct Spoil {
    /// From the handler to the world.
    pub(crate) world: World,
    /// From the host to the handlers.
    pub(crate) handler: Handler,
    /// How many handlers there are.
    pub(crate) handlers: usize,
    /// Whether people are told.
    pub(crate) people: bool,
}

impl Default for Spoil {
    fn default() -> Spoil {
        let world: World = Box::new(|wire| wire);
        let handler: Handler = Box::new(|wires| Arc::clone(&wires[0]));
        Spoil { world, handler, handlers: 1, people: false }
    }
}

/// Loses requests and answers, each with a probability of one in `one_in`.
#[derive(Debug)]
pub(crate) struct Lossy {
    wire: Arc<dyn Wire>,
    random: Mutex<u64>,
    one_in: u64,
    losses: Arc<Losses>,
}

/// How many were lost, and whether any more are.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    pub(crate) count: AtomicU32,
    pub(crate) over: AtomicBool,
}

impl Lossy {
    pub(crate) fn new(wire: Arc<dyn Wire>, seed: u64, one_in: u64, losses: Arc<Losses>) -> Lossy {
        Lossy { wire, random: Mutex::new(seed.max(1)), one_in, losses }
    }

    /// True once in `one_in`, by xorshift64*.
    fn loses(&self) -> bool {
        let mut state = self.random.lock().unwrap();
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        let number = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        let lost = number.is_multiple_of(self.one_in) && !self.losses.over.load(Ordering::Relaxed);
        self.losses.count.fetch_add(u32::from(lost), Ordering::Relaxed);
        lost
    }
}

#[async_trait]
impl Wire for Lossy {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        if self.loses() {
            return Err(Fault::NotSent("the request was lost".to_owned()));
        }
        let answer = self.wire.send(request).await?;
        if self.loses() {
            return Err(Fault::PerhapsDone("the answer was lost".to_owned()));
        }
        Ok(answer)
    }
}

/// A message as the host delivered it.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub(crate) function: String,
    head: http::HeaderMap,
    uri: http::Uri,
    body: Bytes,
    number: usize,
}

impl Delivered {
    /// The host's id of the invocation.
    pub(crate) fn invocation(&self) -> String {
        self.head["x-azure-functions-invocationid"].to_str().unwrap().to_owned()
    }

    /// The message's own bytes.
    pub(crate) fn message(&self) -> Vec<u8> {
        let envelope: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        STANDARD.decode(envelope["Data"]["message"].as_str().unwrap()).unwrap()
    }

    /// The same delivery again, as a redelivery has it: under another invocation id.
    pub(crate) fn again(&self) -> Request {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.head.clone();
        let id = format!("again-{}", self.number).parse().unwrap();
        request.headers_mut().insert("x-azure-functions-invocationid", id);
        request
    }
}

/// Remembers every message, and hands each to the handlers as `how` says.
pub(crate) struct Deliveries {
    handlers: Vec<Arc<dyn Wire>>,
    how: How,
    pub(crate) seen: Arc<Mutex<Vec<Delivered>>>,
}

/// How messages are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Once,
    /// Again, as soon as the handler has answered.
    Twice,
    /// To two handlers at the same time.
    ToBoth,
}

impl Deliveries {
    pub(crate) fn new(
        handlers: Vec<Arc<dyn Wire>>,
        how: How,
        seen: Arc<Mutex<Vec<Delivered>>>,
    ) -> Deliveries {
        Deliveries { handlers, how, seen }
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("how", &self.how).finish_non_exhaustive()
    }
}

#[async_trait]
impl Wire for Deliveries {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let function = request.uri().path().trim_start_matches('/').to_owned();
        let is_message = request.body().windows(9).any(|it| it == b"\"message\"");
        if !is_message {
            return self.handlers[0].send(request).await;
        }
        let delivered = {
            let mut seen = self.seen.lock().unwrap();
            let delivered = Delivered {
                function,
                head: request.headers().clone(),
                uri: request.uri().clone(),
                body: request.body().clone(),
                number: seen.len(),
            };
            seen.push(delivered.clone());
            delivered
        };
        match self.how {
            How::Once => self.handlers[0].send(request).await,
            How::Twice => {
                let answer = self.handlers[0].send(request).await;
                self.handlers[0].send(delivered.again()).await?;
                answer
            }
            How::ToBoth => {
                let (one, other) = (&self.handlers[0], &self.handlers[1]);
                let (first, second) =
                    futures::join!(one.send(request), other.send(delivered.again()));
                second?;
                first
            }
        }
    }
}
