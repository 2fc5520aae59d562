// azure-sb 0.11.2, Microsoft's REST client for Node, against the queues of `goldsmith up`.
//
// What it proves beside service_bus.py: this client writes `/Messages/Head`, sends a Host without a
// port, settles by the path of Location, and does not escape the quotes in its properties. Run it
// with tests/clients/run.
'use strict';

const { promisify } = require('util');
const azure = require('azure-sb');

const BUS = process.env.UP_BUS;
const [KEY_NAME, KEY] = ['tester', 'a+key/of=ours'];
const SECOND = 1000;
let failures = 0;

function check(sentence, holds, seen = '') {
  failures += holds ? 0 : 1;
  console.log(holds ? `ok ${sentence}` : `FAIL ${sentence} (seen: ${JSON.stringify(seen)})`);
}

function over(service) {
  const call = (name) => promisify(service[name]).bind(service);
  return {
    send: call('sendQueueMessage'),
    receive: call('receiveQueueMessage'),
    complete: call('deleteMessage'),
    unlock: call('unlockMessage'),
    renew: call('renewLockForMessage'),
  };
}

function signing(name, key) {
  const parts = [`Endpoint=${BUS}/`, `SharedAccessKeyName=${name}`, `SharedAccessKey=${key}`];
  return over(azure.createServiceBusService(parts.join(';')));
}

/** A client whose requests carry this header, if any. */
function carrying(authorization) {
  const provider = {
    signRequest(request, done) {
      if (authorization) request.withHeader('authorization', authorization);
      done(null);
    },
  };
  return over(azure.createServiceBusService('desk', 'key', 'issuer', 'acs', `${BUS}/`, provider));
}

const bus = signing(KEY_NAME, KEY);
let number = 0;

function message(body = 'x', brokerProperties = {}, customProperties = {}, contentType) {
  brokerProperties = { MessageId: `m-${(number += 1)}`, ...brokerProperties };
  return { body, brokerProperties, customProperties, ...(contentType && { contentType }) };
}

async function send(queue, ...how) {
  const sent = message(...how);
  await bus.send(queue, sent);
  return sent.brokerProperties.MessageId;
}

async function receive(queue, isPeekLock, wait) {
  try {
    // This client leaves a wait of 0 out, and then waits a minute.
    return await bus.receive(queue, { isPeekLock, timeoutIntervalInS: wait || '0' });
  } catch (error) {
    if (error === 'No messages to receive' || error.message === 'No messages to receive') {
      return null;
    }
    throw error;
  }
}

const peek = (queue, wait = 0) => receive(queue, true, wait);
const take = (queue, wait = 0) => receive(queue, false, wait);

/** What a refusal says; status 0 when it was none. */
async function refusal(call) {
  try {
    await call;
    return { status: 0 };
  } catch (error) {
    const told = error.message || String(error);
    const status = error.statusCode || Number(error.code) || Number((/\d{3}/.exec(told) || [])[0]);
    return { status, text: `${told} ${error.detail || ''}` };
  }
}

const status = async (call) => (await refusal(call)).status;
const pause = (span) => new Promise((done) => setTimeout(done, span));

/** The namespace's time, by a message that is enqueued now. */
async function deskNow() {
  await send('dups', 'probe');
  return Date.parse((await take('dups', 5)).brokerProperties.EnqueuedTimeUtc);
}

const parts = {
  async sendsAndCompletes() {
    const custom = { attempt: 3, share: 1.5, urgent: true, note: 'High "!"' };
    const said = { Label: 'label', CorrelationId: 'c', ReplyTo: 'r', To: 't', SessionId: 's' };
    const name = await send('builds', 'héllo', said, custom);
    const got = await peek('builds');
    const broker = got.brokerProperties;
    check('a message is received with its body', got.body === 'héllo', got.body);
    check('its content type comes back', got.contentType === 'text/plain', got.contentType);
    check('its id comes back', broker.MessageId === name, broker);
    check(
      'what its sender said comes back',
      Object.entries(said).every(([key, value]) => broker[key] === value),
      broker,
    );
    check(
      'it is active and delivered once',
      broker.DeliveryCount === 1 && broker.State === 'Active',
      broker,
    );
    const locked = Date.parse(broker.LockedUntilUtc) - Date.parse(broker.EnqueuedTimeUtc);
    check('its lock is told', locked > 0 && locked <= 3 * SECOND, locked);
    check(
      'custom properties come back with their kinds',
      Object.entries({ ...custom, note: 'High \\"!\\"' }).every(
        ([key, value]) => got.customProperties[key] === value,
      ),
      got.customProperties,
    );
    const properties = Object.keys(got.customProperties).sort();
    check(
      'and none that this client sends for HTTP alone',
      properties.every((it) => it in custom || it === 'content-length'),
      properties,
    );
    check('a locked message is not given to another', (await peek('builds')) === null);
    check('a lock is renewed', (await status(bus.renew(got))) === 0);
    check('a message is completed', (await status(bus.complete(got))) === 0);
    const { status: code, text } = await refusal(bus.complete(got));
    check('a completed message is not there any more (404)', code === 404, [code, text]);
  },

  async unlocks() {
    const name = await send('builds', 'first');
    await send('builds', 'second');
    const first = await peek('builds');
    check('a message is unlocked', (await status(bus.unlock(first))) === 0);
    const again = await peek('builds');
    const { MessageId, DeliveryCount } = again.brokerProperties;
    check(
      'it is there again at once, before the others, counted',
      MessageId === name && DeliveryCount === 2,
      again.brokerProperties,
    );
    check("an unlocked message's old lock opens nothing", (await status(bus.unlock(first))) === 404);
    check('the new one does', (await status(bus.complete(again))) === 0);
    check('and the next message is next', (await take('builds')).body === 'second');
  },

  async losesALock() {
    await send('builds');
    const lost = await peek('builds');
    const again = await peek('builds', 20);
    check('a lock that ends gives the message to another', again !== null);
    check('and counts as a delivery', again.brokerProperties.DeliveryCount === 2);
    check('a lost lock is not renewed (404)', (await status(bus.renew(lost))) === 404);
    check('a message is not completed by a lost lock (404)', (await status(bus.complete(lost))) === 404);
    check('the other completes it', (await status(bus.complete(again))) === 0);

    await send('builds');
    const kept = await peek('builds');
    const end = (await deskNow()) + 5 * SECOND;
    const renewed = new Set();
    while ((await deskNow()) < end) {
      await pause(0.7 * SECOND);
      renewed.add(await status(bus.renew(kept)));
    }
    check('a lock of 2 s is kept for 5 s by renewing it', [...renewed].join() === '0', [...renewed]);
    check('and is still good then', (await status(bus.complete(kept))) === 0);
  },

  async deadLetters() {
    const name = await send('builds', 'poison', {}, { kept: 'yes' });
    const deliveries = [];
    for (let got = await peek('builds'); got; got = await peek('builds')) {
      deliveries.push(got.brokerProperties.DeliveryCount);
      await bus.unlock(got);
    }
    check('a message is delivered three times', deliveries.join() === '1,2,3', deliveries);
    const dead = await peek('builds/$DeadLetterQueue');
    check('then it is in the dead-letter queue', dead.brokerProperties.MessageId === name);
    const said = dead.customProperties;
    check('with the reason', said.deadletterreason === 'MaxDeliveryCountExceeded', said);
    check('with its own properties', said.kept === 'yes' && dead.body === 'poison', said);
    const sent = bus.send('builds/$DeadLetterQueue', message());
    check('nothing is sent to a dead-letter queue (400)', (await status(sent)) === 400);
    check('a dead letter is unlocked and completed', (await status(bus.unlock(dead))) === 0);
    const last = await peek('builds/$deadletterqueue');
    check('by whoever locks it again', (await status(bus.complete(last))) === 0);
    check('then it is gone', (await peek('builds/$DeadLetterQueue')) === null);
  },

  async takesAway() {
    await send('builds', 'gone');
    const got = await take('builds');
    check('a message is received and deleted at once', got.body === 'gone', got);
    check('without a lock', !('LockToken' in got.brokerProperties) && !got.location, got);
    check('an empty queue has nothing (204)', !(await take('builds')) && !(await peek('builds')));
  },

  async sendsBatches() {
    const batch = [0, 1, 2].map((it) => ({
      Body: `${it}`,
      BrokerProperties: { MessageId: `batch-${it}`, Label: `l${it}` },
      UserProperties: { number: it },
    }));
    const contentType = 'application/vnd.microsoft.servicebus.json';
    await bus.send('builds', { body: JSON.stringify(batch), contentType });
    const got = [await take('builds'), await take('builds'), await take('builds')];
    check('a batch arrives in order', got.map((it) => it.body).join() === '0,1,2', got);
    check(
      'with the properties of each',
      got.every((it, at) => it.brokerProperties.Label === `l${at}` && it.customProperties.number === at),
      got,
    );
  },

  async dropsDuplicates() {
    await bus.send('dups', message('first', { MessageId: 'same' }));
    await bus.send('dups', message('second', { MessageId: 'same' }));
    const got = await peek('dups');
    check('a repeated id is accepted and dropped', got.body === 'first' && !(await peek('dups')));
    await bus.complete(got);
    await bus.send('dups', message('third', { MessageId: 'same' }));
    check('also after the first was completed', (await peek('dups')) === null);
    const due = new Date((await deskNow()) + 3600 * SECOND).toUTCString();
    await bus.send('dups', message('at', { MessageId: 'later', ScheduledEnqueueTimeUtc: due }));
    await bus.send('dups', message('now', { MessageId: 'later' }));
    check('a scheduled message is remembered too', (await peek('dups')) === null);
  },

  async schedules() {
    const due = (await deskNow()) + 4 * SECOND;
    await send('builds', 'later', { ScheduledEnqueueTimeUtc: new Date(due).toUTCString() });
    await send('builds', 'sooner');
    const first = await take('builds');
    check('a scheduled message is not there before its time', first.body === 'sooner', first);
    check('whoever asks then is told that there is nothing', (await take('builds')) === null);
    const got = await take('builds', 30);
    const { EnqueuedTimeUtc, SequenceNumber, EnqueuedSequenceNumber } = got.brokerProperties;
    check('it comes at its time', got.body === 'later' && Date.parse(EnqueuedTimeUtc) === due, got);
    check('under a new number', SequenceNumber > EnqueuedSequenceNumber, got);
  },

  async expires() {
    const name = await send('short', 'aged', { TimeToLive: 1 });
    // In its documentation this client calls it a text.
    await send('builds', 'aged', { TimeToLive: '1' });
    const end = (await deskNow()) + 3 * SECOND;
    while ((await deskNow()) < end) await pause(0.5 * SECOND);
    check('a message does not outlive its time to live', (await peek('short')) === null);
    const dead = await take('short/$DeadLetterQueue');
    check(
      'it is dead-lettered where the queue says so',
      dead &&
        dead.brokerProperties.MessageId === name &&
        dead.customProperties.deadletterreason === 'TTLExpiredException',
      dead,
    );
    const dropped = !(await peek('builds')) && !(await peek('builds/$DeadLetterQueue'));
    check('and else dropped', dropped);
  },

  async refusesSessions() {
    const sending = (properties) => status(bus.send('sess', message('x', properties)));
    check('a queue with sessions wants a session id (400)', (await sending({})) === 400);
    check('takes a message with one', (await sending({ SessionId: 's' })) === 0);
    const other = await sending({ SessionId: 's', PartitionKey: 'p' });
    check('no other partition key (400)', other === 400, other);
    check('and gives nothing over REST (400)', (await status(peek('sess'))) === 400);
    check('neither takes it away (400)', (await status(take('sess'))) === 400);
  },

  async knowsWhoAsks() {
    const sending = (made) => status(made.send('builds', message()));
    check('the key signs', (await sending(signing(KEY_NAME, KEY))) === 0);
    check('a wrong key does not (401)', (await sending(signing(KEY_NAME, 'wrong'))) === 401);
    check("nor another policy's (401)", (await sending(signing('other', KEY))) === 401);
    const bearer = await sending(carrying('Bearer some.token.here'));
    check('a bearer token is accepted', bearer === 0, bearer);
    check('a WRAP token is not (401)', (await sending(carrying('WRAP access_token="x"'))) === 401);
    check('nor is nobody (401)', (await sending(carrying(null))) === 401);
    while (await take('builds'));
  },

  async refuses() {
    const gone = await refusal(bus.send('nothing', message()));
    check('a queue that is not there is gone (410)', gone.status === 410, gone);
    check('and named', /nothing/.test(gone.text), gone);
    check('for receivers too (410)', (await status(peek('nothing'))) === 410);
    const large = await status(bus.send('builds', message('x'.repeat(256 * 1024 + 1))));
    check('a message that is too large is refused (403)', large === 403, large);
    const never = `${BUS}/builds/messages/1/00000000-0000-0000-0000-000000000000`;
    const unknown = await status(bus.unlock(never.replace(/:\d+\//, '/')));
    check('a lock that never was is not found (404)', unknown === 404, unknown);
  },
};

(async () => {
  for (const [name, part] of Object.entries(parts)) {
    try {
      await part();
    } catch (error) {
      // The other parts still have something to say.
      check(`${name} goes through`, false, String(error.stack || JSON.stringify(error)));
    }
  }
  process.exit(failures ? 1 : 0);
})();
