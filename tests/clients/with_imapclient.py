"""A session with imapclient. Arguments: ports of IMAP and IMAPS, certificate, user, password."""
import datetime
import ssl
import sys

from imapclient import DELETED, FLAGGED, SEEN, IMAPClient

port, tls_port, certificate, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)


def text(subject):
    return (f'From: Zo\u00eb <zoe@example.org>\r\nSubject: {subject}\r\nMessage-ID: <{subject}@test>\r\n'
            f'Content-Type: text/plain; charset=utf-8\r\n\r\nBody of {subject}, \u00fc.\r\n').encode()


def connect():
    client = IMAPClient('localhost', int(tls_port), ssl=True, ssl_context=context, timeout=20)
    client.login(user, password)
    return client


client, other = connect(), connect()
assert client.has_capability('IDLE') and client.has_capability('MOVE') and client.has_capability('UIDPLUS')
client.id_({'name': 'a test'})
assert client.namespace().personal[0][1] == '/'
assert client.find_special_folder(b'\\Sent') == 'Sent'

# Appending with flags and a date.
date = datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc)
client.append('INBOX', text('one'), [SEEN, '$Forwarded'], date)
client.append('INBOX', text('two'))
client.append('INBOX', text('three'))
info = client.select_folder('INBOX')
assert info[b'EXISTS'] == 3 and info[b'UIDNEXT'] == 4, info
fetched = client.fetch([1], ['FLAGS', 'INTERNALDATE', 'ENVELOPE', 'BODY[]'])[1]
assert set(fetched[b'FLAGS']) >= {SEEN, b'$Forwarded'}, fetched
assert client.fetch([1], 'INTERNALDATE')[1][b'INTERNALDATE'].timestamp() == date.timestamp()
assert fetched[b'ENVELOPE'].subject == b'one' and fetched[b'BODY[]'] == text('one'), fetched
assert client.fetch([2], 'BODYSTRUCTURE')[2][b'BODYSTRUCTURE'][0].lower() == b'text'

# Searching.
assert client.search(['UNSEEN']) == [2, 3]
assert client.search(['SINCE', datetime.date(2026, 2, 3), 'BEFORE', datetime.date(2026, 2, 4)]) == [1]
assert client.search(['NOT', ['OR', 'SUBJECT', 'one', 'SUBJECT', 'two']]) == [3]
assert client.search(['BODY', '\u00fc'], 'UTF-8') == [1, 2, 3]

# Idling: a message that another connection appends wakes it.
client.idle()
other.append('INBOX', text('four'))
woken = client.idle_check(timeout=20)
assert (4, b'EXISTS') in woken, woken
other.select_folder('INBOX')
other.add_flags([2], [FLAGGED])
while not any(len(r) > 1 and r[1] == b'FETCH' and r[0] == 2 for r in woken):
    more = client.idle_check(timeout=20)
    assert more, 'a changed flag did not wake the session'
    woken += more
client.idle_done()

# Flags.
client.set_flags([3], [SEEN, 'mine'])
assert set(other.get_flags([3])[3]) >= {SEEN, b'mine'}
client.remove_flags([3], [SEEN])
assert SEEN not in client.get_flags([3])[3]

# Moving and copying.
client.create_folder('M\u00fcll/alt')
client.move([1, 4], 'M\u00fcll/alt')
assert client.search() == [2, 3]
client.copy([2], 'M\u00fcll/alt')
other.noop()
assert other.search() == [2, 3]
other.select_folder('M\u00fcll/alt')
assert other.search() == [1, 2, 3]
subjects = [m[b'ENVELOPE'].subject for _, m in sorted(other.fetch(other.search('ALL'), 'ENVELOPE').items())]
assert subjects == [b'one', b'four', b'two'], subjects
assert set(other.get_flags([1])[1]) >= {SEEN, b'$Forwarded'}
assert FLAGGED in other.get_flags([3])[3]

# Expunging some of those marked.
other.add_flags([1, 2], [DELETED])
other.uid_expunge([2]) if hasattr(other, 'uid_expunge') else other.expunge([2])
assert other.search() == [1, 3]
assert client.folder_status('M\u00fcll/alt', ['MESSAGES'])[b'MESSAGES'] == 2
client.subscribe_folder('M\u00fcll/alt')
assert 'M\u00fcll/alt' in [name for _, _, name in client.list_sub_folders()]
other.close_folder()
client.delete_folder('M\u00fcll/alt')
assert not client.folder_exists('M\u00fcll/alt')
client.logout()
other.logout()
print('all is well')
