// Runs inside Thunderbird, as the body of an async function whose `part` says which half. What it returns goes
// to the caller.
const { MailServices } = ChromeUtils.importESModule('resource:///modules/MailServices.sys.mjs');
const { setTimeout } = ChromeUtils.importESModule('resource://gre/modules/Timer.sys.mjs');
const server = MailServices.accounts.accounts[0].incomingServer;
const later = ms => new Promise(done => setTimeout(done, ms));

async function until(what, found) {
    for (let tries = 0; tries < 200; tries++) {
        const value = await found();
        if (value) return value;
        await later(100);
    }
    throw new Error(`${what}: not within 20 s`);
}

// Runs something that tells a listener when it has stopped.
const heard = start => new Promise((resolve, reject) => {
    const stop = code => code ? reject(new Error(`code ${code}`)) : resolve();
    start({
        QueryInterface: ChromeUtils.generateQI(['nsIUrlListener', 'nsIMsgCopyServiceListener']),
        OnStartRunningUrl() {},
        OnStopRunningUrl: (url, code) => stop(code),
        onStartCopy() {},
        onProgress() {},
        setMessageKey() {},
        getMessageId: () => null,
        onStopCopy: stop
    });
});

const inbox = server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
const box = name => server.rootFolder.getChildNamed(name);
const messages = folder => [...folder.messages].sort((a, b) => a.messageKey - b.messageKey);
const subjects = folder => messages(folder).map(header => header.mime2DecodedSubject);
const message = subject => messages(inbox).find(header => header.mime2DecodedSubject === subject);
const copy = (subject, to, moved) => heard(listener =>
    MailServices.copy.copyMessages(inbox, [message(subject)], box(to), moved, listener, null, false));

async function logIn(user, password) {
    const login = Cc['@mozilla.org/login-manager/loginInfo;1'].createInstance(Ci.nsILoginInfo);
    login.init('imap://127.0.0.1', null, 'imap://127.0.0.1', user, password, '', '');
    await Services.logins.addLoginAsync(login);
    await heard(listener => inbox.getNewMessages(null, listener));
    await until('the mailboxes', () => ['Archive', 'Drafts', 'Junk', 'Sent', 'Trash'].every(name => box(name)));
    await until('the messages', () => messages(inbox).length === 6);
}

// The text of a message as it is shown.
const read = subject => new Promise((resolve, reject) => {
    const uri = inbox.getUriForMsg(message(subject));
    let text = '';
    MailServices.messageServiceFromURI(uri).streamMessage(uri, {
        QueryInterface: ChromeUtils.generateQI(['nsIStreamListener', 'nsIRequestObserver']),
        onStartRequest() {},
        onStopRequest: (request, code) => code ? reject(new Error(`code ${code}`)) : resolve(text),
        onDataAvailable(request, stream, offset, count) {
            const input = Cc['@mozilla.org/scriptableinputstream;1'].createInstance(Ci.nsIScriptableInputStream);
            input.init(stream);
            text += input.read(count);
        }
    }, null, null, false, '');
});

// A draft, by the window in which people write.
async function draft() {
    const params = Cc['@mozilla.org/messengercompose/composeparams;1'].createInstance(Ci.nsIMsgComposeParams);
    const fields = Cc['@mozilla.org/messengercompose/composefields;1'].createInstance(Ci.nsIMsgCompFields);
    [fields.to, fields.subject, fields.body] = ['bob@example.org', 'A draft', 'Not yet done.'];
    params.composeFields = fields;
    params.identity = MailServices.accounts.defaultAccount.defaultIdentity;
    params.type = Ci.nsIMsgCompType.New;
    params.format = Ci.nsIMsgCompFormat.PlainText;
    MailServices.compose.OpenComposeWindowWithParams(null, params);
    const composing = await until('the window', () => Services.wm.getMostRecentWindow('msgcompose'));
    await until('the editor', () => composing.gMsgCompose?.editor && composing.gMsgCompose.compFields.subject);
    await later(500);
    await composing.GenericSendMessage(Ci.nsIMsgCompDeliverMode.SaveAsDraft);
    await until('the draft', async () => {
        await heard(listener => box('Drafts').getNewMessages(null, listener));
        return messages(box('Drafts')).length === 1;
    });
    composing.close();
}

if (part === 'first') {
    await logIn(user, password);
    const text = await read('Fruit1');
    inbox.markMessagesRead([message('Fruit1')], true);
    inbox.markMessagesFlagged([message('Fruit2')], true);
    inbox.addKeywordsToMessages([message('Fruit2')], '$label1');
    await copy('Fruit3', 'Archive', true);
    await heard(listener => inbox.deleteMessages([message('Fruit4')], null, false, true, listener, false));
    await copy('Fruit5', 'Archive', false);
    await draft();
    return { text, inbox: subjects(inbox) };
}
// What others did, told while it idles.
await until('the new message and the flag', () => message('Fruit7') && message('Fruit6').isFlagged);
await until('the expunge', () => !message('Fruit5'));
return { inbox: subjects(inbox) };
