// A session with imapflow: IDLE, COMPRESS and QRESYNC are used, and seen to be used. Arguments: ports of
// IMAP and IMAPS, certificate, user, password.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { ImapFlow } = require('imapflow');

const [, tlsPort, certificate, user, pass] = process.argv.slice(2);

// What a connection sent, without its tags.
function connect() {
    const client = new ImapFlow({
        host: 'localhost', port: Number(tlsPort), secure: true, tls: { ca: fs.readFileSync(certificate) },
        auth: { user, pass }, logger: false, emitLogs: true, qresync: true, maxIdleTime: 60000
    });
    client.sent = [];
    client.on('log', entry => entry.src === 'c' && client.sent.push(String(entry.msg).replace(/^\S+ (?=\S)/, '')));
    client.on('error', error => { throw error; });
    return client;
}

const text = subject => `From: Zo\u00eb <zoe@example.org>\r\nSubject: ${subject}\r\nMessage-ID: <${subject}@test>\r\n` +
    `Content-Type: text/plain; charset=utf-8\r\n\r\nBody of ${subject}, \u00fc.\r\n`;

const used = (client, what) => assert(client.sent.some(line => what.test(line)), `${what} not in\n${client.sent.join('\n')}`);

// An event that has to come.
const heard = (client, event, right = () => true) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} within 20 s`)), 20000);
    const look = what => right(what) && (clearTimeout(timer), client.off(event, look), resolve(what));
    client.on(event, look);
});

async function subjects(client, range, query = {}) {
    const found = {};
    for await (const message of client.fetch(range, { uid: true, flags: true, envelope: true }, query)) {
        found[message.envelope.subject] = { uid: message.uid, flags: [...message.flags].sort() };
    }
    return found;
}

async function run() {
    const first = connect(), second = connect();
    await first.connect();
    await second.connect();
    for (const client of [first, second]) {
        used(client, /^COMPRESS DEFLATE/);
        used(client, /^ENABLE .*QRESYNC/);
        assert(client.enabled.has('QRESYNC'), 'QRESYNC is not enabled');
        assert(client._inflate && client._deflate, 'the connection is not compressed');
    }
    assert.equal(first.serverInfo.name, 'dovelet');

    // Mailboxes and what they are for.
    const uses = Object.fromEntries((await first.list()).map(box => [box.path, box.specialUse]));
    assert.deepEqual([uses.Sent, uses.Trash, uses.Junk], ['\\Sent', '\\Trash', '\\Junk']);
    await first.mailboxCreate(['M\u00fcll', 'alt']);
    await first.mailboxSubscribe('M\u00fcll/alt');

    // Appending, with flags, a date, and much text.
    const date = new Date('2026-02-03T04:05:06Z');
    const appended = await first.append('INBOX', text('one'), ['\\Seen', '$Forwarded'], date);
    assert.equal(appended.uid, 1);
    for (const subject of ['two', 'three', 'four', 'five']) await first.append('INBOX', text(subject));
    const large = text('large') + 'A line of a long text that compresses well.\r\n'.repeat(20000);
    await first.append('INBOX', large);
    let box = await first.mailboxOpen('INBOX');
    assert.deepEqual([box.exists, box.uidNext], [6, 7]);
    const one = await first.fetchOne('1', { flags: true, internalDate: true, source: true, bodyStructure: true, size: true });
    assert.equal(one.internalDate.getTime(), date.getTime());
    assert.equal(one.source.toString(), text('one'));
    assert.equal(one.size, Buffer.byteLength(text('one')));
    assert.equal(one.bodyStructure.type, 'text/plain');
    assert((await first.download('6')).content, 'nothing to download');
    assert.equal((await first.fetchOne('6', { source: true })).source.toString(), large);
    assert.deepEqual(await first.search({ seen: false, not: { subject: 'large' } }, { uid: true }), [2, 3, 4, 5]);

    // Idling hears what another connection does: a new message, a flag, an expunge as VANISHED.
    const state = { uidValidity: box.uidValidity, highestModseq: first.mailbox.highestModseq };
    const idle = first.idle();
    await second.mailboxOpen('INBOX');
    let news = heard(first, 'exists', e => e.count === 7);
    await second.append('INBOX', text('six'));
    await news;
    news = heard(first, 'flags', e => e.uid === 2 && e.flags.has('\\Flagged'));
    await second.messageFlagsAdd('2', ['\\Flagged'], { uid: true });
    await news;
    news = heard(first, 'expunge', e => e.uid === 3 && e.vanished);
    await second.messageDelete('3', { uid: true });
    await news;
    await first.noop();
    await idle;
    used(first, /^IDLE/);

    // Flags. (Its `unchangedSince` is no use: it comes behind the flags, where no grammar has it.)
    await first.messageFlagsSet('4', ['\\Seen', 'mine', 'stale'], { uid: true });
    await first.messageFlagsAdd('4', ['\\Answered'], { uid: true });
    await first.messageFlagsRemove('4', ['stale'], { uid: true });
    const four = await second.fetchOne('4', { flags: true }, { uid: true });
    assert.deepEqual([...four.flags].filter(f => f !== '\\Recent').sort(), ['\\Answered', '\\Seen', 'mine']);

    // Moving and copying.
    const moved = await first.messageMove('1,5', 'M\u00fcll/alt', { uid: true });
    assert.deepEqual([...moved.uidMap], [[1, 1], [5, 2]]);
    const copied = await first.messageCopy('2', 'M\u00fcll/alt', { uid: true });
    assert.deepEqual([...copied.uidMap], [[2, 3]]);
    const status = await second.status('M\u00fcll/alt', { messages: true, uidNext: true, unseen: true, highestModseq: true });
    assert.deepEqual([status.messages, status.uidNext, status.unseen], [3, 4, 2]);

    // A client that was away is told by one SELECT what changed and what vanished.
    const third = connect();
    await third.connect();
    const vanished = [], flags = {};
    third.on('expunge', e => e.earlier && vanished.push(e.uid));
    third.on('flags', e => { flags[e.uid] = [...e.flags].filter(f => f !== '\\Recent').sort(); });
    box = await third.mailboxOpen('INBOX', { changedSince: String(state.highestModseq), uidValidity: state.uidValidity });
    used(third, /^SELECT INBOX \(QRESYNC \(\d+ \d+\)\)/);
    assert(box.qresync, 'the mailbox was not resynchronised');
    assert.deepEqual(vanished.sort(), [1, 3, 5]);
    assert.deepEqual(flags, { 2: ['\\Flagged'], 4: ['\\Answered', '\\Seen', 'mine'], 7: [] });
    const changed = await subjects(third, '1:*', { uid: true, changedSince: state.highestModseq });
    assert.deepEqual(Object.keys(changed).sort(), ['four', 'six', 'two']);
    used(third, /^UID FETCH 1:\* .*CHANGEDSINCE \d+ VANISHED/);

    await third.mailboxClose();
    await third.mailboxRename('M\u00fcll/alt', 'Kept');
    await third.mailboxOpen('Kept');
    await third.messageDelete('2', { uid: true });
    for (const client of [first, second, third]) await client.logout();
}

run().then(() => console.log('all is well'), error => { console.error(error); process.exit(1); });
