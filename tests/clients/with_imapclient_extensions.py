"""imapclient with SORT, THREAD, CONDSTORE, MOVE, MULTIAPPEND, SPECIAL-USE, ID, ENABLE and UNSELECT.
Arguments: ports of IMAP and IMAPS, certificate, user, password."""
import datetime
import ssl
import sys

from imapclient import DELETED, FLAGGED, SEEN, IMAPClient

port, tls_port, certificate, user, password = sys.argv[1:]


def connect():
    # STARTTLS here; with_imapclient.py has TLS from the start.
    client = IMAPClient('localhost', int(port), ssl=False, timeout=20)
    client.starttls(ssl.create_default_context(cafile=certificate))
    client.plain_login(user, password)
    return client


def text(subject, sender, day, references=''):
    return (f'From: {sender}\r\nSubject: {subject}\r\nMessage-ID: <m{day}@test>\r\n'
            f'Date: {day:02} Feb 2026 10:00:00 +0000\r\n'
            + (f'References: {references}\r\n' if references else '')
            + f'Content-Type: text/plain; charset=utf-8\r\n\r\nText {"x" * (40 - day)}.\r\n').encode()


def search(client, *words):
    return list(client.search(list(words) or 'ALL'))


client, other = connect(), connect()
for capability in ('SORT', 'THREAD=REFERENCES', 'THREAD=REFS', 'CONDSTORE', 'MOVE', 'MULTIAPPEND', 'SPECIAL-USE',
                   'ID', 'ENABLE', 'UNSELECT', 'UIDPLUS'):
    assert client.has_capability(capability), capability

# ID: the answer is a list of pairs.
told = client.id_({'name': 'a \\ and a \" test', 'version': '1'})
assert b'dovelet' in str(told).encode(), told

assert b'CONDSTORE' in client.enable('CONDSTORE')

# SPECIAL-USE.
for use, name in ((b'\\Sent', 'Sent'), (b'\\Trash', 'Trash'), (b'\\Junk', 'Junk'), (b'\\Drafts', 'Drafts'),
                  (b'\\Archive', 'Archive')):
    assert client.find_special_folder(use) == name, use

# MULTIAPPEND: all of them or none.
mails = [
    text('Bananas', 'zoe@example.org', 3),
    text('Apples', 'Bob <bob@example.org>', 5),
    text('Re: Bananas', 'amy@example.org', 7, '<m3@test>'),
    text('Cherries', 'Carl <carl@example.org>', 1),
    text('Re: Re: bananas', 'zoe@example.org', 9, '<m3@test> <m7@test>'),
    text('Re: Apples', 'zoe@example.org', 2),
]
date = datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc)
client.multiappend('INBOX', [{'msg': mail, 'flags': [SEEN] if n == 0 else [], 'date': date} for n, mail in enumerate(mails)])
info = client.select_folder('INBOX')
assert info[b'EXISTS'] == 6 and info[b'HIGHESTMODSEQ'] >= 1, info

# SORT.
assert client.sort('DATE') == [4, 6, 1, 2, 3, 5]
assert client.sort(['REVERSE DATE']) == [5, 3, 2, 1, 6, 4]
assert client.sort(['SUBJECT', 'DATE']) == [6, 2, 1, 3, 5, 4]
assert client.sort('FROM', 'UNSEEN') == [3, 2, 4, 5, 6]
assert client.sort('REVERSE SIZE', ['NOT', 'SUBJECT', 'Re:']) == [4, 2, 1]

# THREAD: an answer without references is below what it answers, though it is dated before it.
assert client.thread('REFERENCES') == ((4,), (1, 3, 5), (2, 6)), client.thread('REFERENCES')
assert client.thread('REFS', 'SUBJECT bananas') == ((1, 3, 5),), client.thread('REFS', 'SUBJECT bananas')
assert client.thread('ORDEREDSUBJECT', ['SUBJECT', 'Cherries']) == ((4,),)

# CONDSTORE: what changed since, and only that.
client.unselect_folder()
before = client.select_folder('INBOX')[b'HIGHESTMODSEQ']
other.select_folder('INBOX')
other.add_flags([2, 4], [FLAGGED])
other.set_flags([5], ['$Later'])
changed = client.fetch([1, 2, 3, 4, 5, 6], ['FLAGS', 'MODSEQ'], [f'CHANGEDSINCE {before}'])
assert sorted(changed) == [2, 4, 5], changed
assert all(message[b'MODSEQ'][0] > before for message in changed.values()), changed
assert FLAGGED in changed[2][b'FLAGS'] and b'$Later' in changed[5][b'FLAGS'], changed
top = max(message[b'MODSEQ'][0] for message in changed.values())
assert client.folder_status('INBOX', ['HIGHESTMODSEQ'])[b'HIGHESTMODSEQ'] == top
assert search(client, 'MODSEQ', before + 1) == [2, 4, 5]
assert client.fetch([1, 2, 3, 4, 5, 6], ['FLAGS'], [f'CHANGEDSINCE {top}']) == {}

# MOVE, and what the other connection sees of it.
client.create_folder('Archive/2026')
client.move([1, 5], 'Archive/2026')
other.noop()
assert search(other) == [2, 3, 4, 6]
other.select_folder('Archive/2026', readonly=True)
kept = other.fetch(search(other), ['FLAGS', 'INTERNALDATE', 'ENVELOPE'])
assert [kept[uid][b'ENVELOPE'].message_id for uid in sorted(kept)] == [b'<m3@test>', b'<m9@test>'], kept
assert SEEN in kept[1][b'FLAGS'] and b'$Later' in kept[2][b'FLAGS'], kept
assert all(message[b'INTERNALDATE'].timestamp() == date.timestamp() for message in kept.values()), kept
try:
    other.add_flags([1], [DELETED])
    raise SystemExit('a mailbox opened for reading was written')
except other.Error:
    pass
assert DELETED not in client.fetch([2], 'FLAGS')[2][b'FLAGS']

# Leaving without expunging keeps what is marked; UID EXPUNGE takes only what it names.
client.add_flags([3, 6], [DELETED])
client.unselect_folder()
client.select_folder('INBOX')
assert search(client) == [2, 3, 4, 6]
client.uid_expunge([6]) if hasattr(client, 'uid_expunge') else client.expunge([6])
assert search(client) == [2, 3, 4]
client.rename_folder('Archive/2026', 'Old')
assert client.folder_exists('Old') and not client.folder_exists('Archive/2026')
client.subscribe_folder('Old')
client.logout()
other.logout()
print('all is well')
