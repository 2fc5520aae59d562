//! What the ledger wants is sent: the only place that writes to a queue. Sending twice does no harm,
//! since a message that was sent twice has the same id.

use bus::{Bus, Outgoing, Pointer};
use chrono::{DateTime, Utc};
use rules::ImageName;
use rules::pace;
use rules::state::State;
use rules::wake::{Task, Wake};

use crate::Context;
use crate::dispatch::{App, Ill, ill};

impl App {
    pub(crate) async fn send_new(
        &self,
        cx: &Context,
        image: &ImageName,
        before: &State,
        after: &State,
    ) -> Result<(), Ill> {
        self.send_spaced(cx, image, before, after, 0).await.map(drop)
    }

    /// The same, for an image among others: `place` messages were sent for those before it. How
    /// many are sent.
    pub(crate) async fn send_spaced(
        &self,
        cx: &Context,
        image: &ImageName,
        before: &State,
        after: &State,
        place: usize,
    ) -> Result<usize, Ill> {
        self.send_wishes(cx, image, &new_wishes(before, after), place).await
    }

    /// Sends what `state` has owed for some minutes, under the ids that it would have had then.
    pub(crate) async fn send_again(
        &self,
        cx: &Context,
        image: &ImageName,
        state: &State,
        place: usize,
    ) -> Result<usize, Ill> {
        self.send_wishes(cx, image, &state.unanswered(cx.now), place).await
    }

    async fn send_wishes(
        &self,
        cx: &Context,
        image: &ImageName,
        wishes: &[Wake],
        place: usize,
    ) -> Result<usize, Ill> {
        for (index, wish) in wishes.iter().enumerate() {
            let (pointer, due) = first_message(image, wish);
            let wanted = due.max(cx.now) + pace::spacing(pointer.function, place + index);
            let due = pace::due(&pointer.to_string(), wanted, cx.now, &cx.arm.left());
            self.send(cx, &pointer, due).await?;
        }
        Ok(wishes.len())
    }

    /// Sends what an entry after `seq` has made due. Not all that is owed: an image may owe a thousand
    /// things, and each of them would have as many messages sent when it comes late.
    pub(crate) async fn send_made_since(
        &self,
        cx: &Context,
        image: &ImageName,
        state: &State,
        seq: u64,
    ) -> Result<(), Ill> {
        self.send_wishes(cx, image, &state.made_since(seq, cx.now), 0).await.map(drop)
    }

    pub(crate) async fn send(
        &self,
        cx: &Context,
        pointer: &Pointer,
        due: DateTime<Utc>,
    ) -> Result<(), Ill> {
        let queue = pointer.function.queue();
        // The invocation's own time says what is due.
        let bus = Bus::new(cx.outbound.clone(), self.bus.clone());
        bus.send(queue, &Outgoing::pointing(pointer, Some(due))).await.map_err(ill)
    }
}

/// The wishes of `after` that `before` did not have: what an entry has caused.
fn new_wishes(before: &State, after: &State) -> Vec<Wake> {
    let old: Vec<Task> = before.wants().into_iter().map(|it| it.task).collect();
    after.wants().into_iter().filter(|it| !old.contains(&it.task)).collect()
}

/// The first message of a wish.
fn first_message(image: &ImageName, wish: &Wake) -> (Pointer, DateTime<Utc>) {
    let pointer = Pointer {
        image: image.clone(),
        seq: wish.task.seq,
        function: wish.task.function,
        generation: wish.task.generation,
        ordinal: 0,
        failures: 0,
    };
    (pointer, wish.task.due)
}
