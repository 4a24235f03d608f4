"""Thunderbird, led by Marionette: log in, list, read, flag, move, delete, a draft, and what another connection
does meanwhile. Arguments: the port of Marionette, that of IMAP, user, password. The INBOX holds messages
with the UIDs 1 to 6 and the subjects Fruit1 to Fruit6."""
import imaplib
import json
import pathlib
import socket
import sys
import time

port, imap, user, password = sys.argv[1:]
SOURCE = pathlib.Path(__file__).with_name('thunderbird.js').read_text()


class Marionette:
    """Commands and answers as JSON with their length before them."""

    def __init__(self, port):
        end = time.time() + 50
        while True:
            try:
                self.socket = socket.create_connection(('127.0.0.1', port), timeout=50)
                break
            except OSError:
                assert time.time() < end, 'Thunderbird does not listen'
                time.sleep(0.1)
        self.file = self.socket.makefile('rb')
        self.number = 0
        self.read()

    def read(self):
        length = b''
        while not length.endswith(b':'):
            length += self.file.read(1)
        return json.loads(self.file.read(int(length[:-1])))

    def ask(self, name, **parameters):
        self.number += 1
        text = json.dumps([0, self.number, name, parameters]).encode()
        self.socket.sendall(b'%d:%s' % (len(text), text))
        _, _, error, result = self.read()
        assert not error, error
        return result

    def run(self, part):
        known = json.dumps([part, user, password])
        body = f'const [part, user, password] = {known};\n{SOURCE}'
        script = ('const done = arguments[arguments.length - 1];\n'
                  f'(async () => {{ {body} }})().then(done, e => done(`failed: ${{e}} ${{e.stack}}`));')
        result = self.ask('WebDriver:ExecuteAsyncScript', args=[], script=script)['value']
        assert isinstance(result, dict), result
        return result


thunderbird = Marionette(int(port))
thunderbird.ask('WebDriver:NewSession')
thunderbird.ask('Marionette:SetContext', value='chrome')
thunderbird.ask('WebDriver:SetTimeouts', script=50000)

first = thunderbird.run('first')
assert 'About 1.' in first['text'], first
assert first['inbox'] == ['Fruit1', 'Fruit2', 'Fruit5', 'Fruit6'], first

other = imaplib.IMAP4('127.0.0.1', int(imap))
other.login(user, password)
other.select('INBOX')
other.uid('STORE', '6', '+FLAGS', r'(\Flagged)')
other.uid('STORE', '5', '+FLAGS', r'(\Deleted)')
other.expunge()
text = b'From: zoe@example.org\r\nSubject: Fruit7\r\nMessage-ID: <7@test>\r\n\r\nAbout 7.\r\n'
assert other.append('INBOX', None, None, text)[0] == 'OK'
second = thunderbird.run('second')
assert second['inbox'] == ['Fruit1', 'Fruit2', 'Fruit6', 'Fruit7'], second
other.logout()
thunderbird.ask('Marionette:Quit', flags=['eForceQuit'])
print('all is well')
