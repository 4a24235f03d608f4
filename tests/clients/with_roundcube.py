"""What a browser asks of Roundcube: log in, list, read, search, flag, move, delete, a draft. Arguments: the
URL of Roundcube, user, password. The INBOX holds messages with the UIDs 1 to 6 and the subjects Fruit1 to
Fruit6."""
import http.cookiejar
import json
import re
import sys
import urllib.parse
import urllib.request

base, user, password = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
token = ''


def ask(query, post=None, ajax=True):
    global token
    url = base + '/?' + urllib.parse.urlencode(query | ({'_remote': 1} if ajax else {}))
    data = None if post is None else urllib.parse.urlencode(post | {'_token': token}).encode()
    request = urllib.request.Request(url, data, {'X-Roundcube-Request': token} if ajax else {})
    text = opener.open(request, timeout=30).read().decode()
    if ajax:
        text = json.loads(text)['exec']
    found = re.search(r'"request_token":"([^"]+)"', text) or re.search(r'name="_token" value="([^"]+)"', text)
    token = found.group(1) if found else token
    assert not ajax or 'display_message' not in text or '"error"' not in text, text
    return text


def rows(text):
    return sorted(int(uid) for uid in re.findall(r'add_message_row\((\d+),', text))


def mail(action, **words):
    return {'_task': 'mail', '_action': action} | {f'_{name}': value for name, value in words.items()}


ask({}, ajax=False)
login = {'_task': 'login', '_action': 'login', '_timezone': 'UTC', '_url': '', '_user': user, '_pass': password}
page = ask({'_task': 'login'}, login, ajax=False)
assert '"task":"mail"' in page, page[:2000]
for name in ('INBOX', 'Drafts', 'Sent', 'Junk', 'Trash', 'Archive'):
    assert f'"{name}"' in page, name

listed = ask(mail('list', mbox='INBOX'))
assert rows(listed) == [1, 2, 3, 4, 5, 6], listed
assert all(f'Fruit{n}' in listed for n in range(1, 7)), listed
shown = ask(mail('show', mbox='INBOX', uid=1), ajax=False)
assert 'About 1.' in shown, shown[-3000:]

found = ask(mail('search', mbox='INBOX', q='Fruit5', headers='subject', scope='base'))
assert rows(found) == [5], found
found = ask(mail('search', mbox='INBOX', q='About 6', headers='text', scope='all'))
assert 'Fruit6' in found and 'Fruit5' not in found, found

ask(mail('mark'), {'_uid': '2', '_mbox': 'INBOX', '_flag': 'flagged'})
# What the button for deleting asks for, and deleting for good.
ask(mail('move'), {'_uid': '3', '_mbox': 'INBOX', '_target_mbox': 'Trash'})
ask(mail('delete'), {'_uid': '6', '_mbox': 'INBOX'})
ask(mail('move'), {'_uid': '4', '_mbox': 'INBOX', '_target_mbox': 'Archive'})
ask(mail('mark'), {'_uid': '1,5', '_mbox': 'INBOX', '_flag': 'read'})
assert rows(ask(mail('list', mbox='INBOX'))) == [1, 2, 5]
assert rows(ask(mail('list', mbox='INBOX', sort='subject_DESC'))) == [1, 2, 5]
assert 'Fruit3' in ask(mail('list', mbox='Trash'))

compose = ask(mail('compose'), ajax=False)
draft = re.search(r'"compose_id":"([^"]+)"', compose).group(1)
written = {'_id': draft, '_task': 'mail', '_action': 'send', '_draft': '1', '_from': '1', '_to': 'bob@example.org',
           '_subject': 'A draft', '_message': 'Not yet done.', '_is_html': '0', '_draft_saveid': '', '_attachments': ''}
saved = ask(mail('send', framed=1), written, ajax=False)
assert 'A draft' in ask(mail('list', mbox='Drafts')), saved[-2000:]
ask({'_task': 'settings', '_action': 'folders'}, ajax=False)
ask({'_task': 'logout', '_token': token}, ajax=False)
print('all is well')
