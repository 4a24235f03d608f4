"""Python's poplib. Arguments: ports of POP3 and POP3S, the certificate, user, password."""
import poplib
import ssl
import sys

port, tls_port, certificate, user, password = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:6]
trust = ssl.create_default_context(cafile=certificate)

plain = poplib.POP3('localhost', port, timeout=20)
assert plain.getwelcome().startswith(b'+OK'), plain.getwelcome()
capabilities = plain.capa()
assert 'STLS' in capabilities and capabilities['SASL'][:2] == ['PLAIN', 'LOGIN'], capabilities
plain.stls(context=trust)
assert 'STLS' not in plain.capa()
plain.user(user)
plain.pass_(password)
count, octets = plain.stat()
assert count == 3, count
_, listing, _ = plain.list()
sizes = [int(line.split()[1]) for line in listing]
assert sum(sizes) == octets, (sizes, octets)
for number in range(1, 4):
    _, lines, counted = plain.retr(number) if number == 1 else plain.top(number, 1000)
    text = b''.join(line + b'\r\n' for line in lines)
    assert len(text) == sizes[number - 1], (number, len(text), sizes)
_, uidls, _ = plain.uidl()
names = [line.split()[1] for line in uidls]
assert len(set(names)) == 3 and plain.uidl(2).split()[2] == names[1], names
_, lines, _ = plain.top(2, 0)
assert lines[-1] == b'', lines
plain.dele(2)
assert plain.stat() == (2, sizes[0] + sizes[2])
plain.rset()
assert plain.stat() == (3, octets)
plain.noop()
for wrong in (lambda: plain.retr(4), lambda: plain.dele(0), lambda: plain.apop(user, password)):
    try:
        wrong()
        raise SystemExit('nothing was wrong')
    except poplib.error_proto as error:
        assert str(error), error
plain.quit()

secure = poplib.POP3_SSL('localhost', tls_port, context=trust, timeout=20)
secure.user(user)
try:
    secure.pass_('wrong')
    raise SystemExit('a wrong password did')
except poplib.error_proto as error:
    assert '[AUTH]' in str(error), error
secure.user(user)
secure.pass_(password)
secure.dele(2)
secure.quit()

last = poplib.POP3_SSL('localhost', tls_port, context=trust, timeout=20)
last.user(user)
last.pass_(password)
assert [line.split()[1] for line in last.uidl()[1]] == [names[0], names[2]]
last.quit()
print('all is well')
