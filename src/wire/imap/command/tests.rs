use super::*;

#[test]
fn good_commands() {
    for text in [
        "a CAPABILITY",
        "a login \"u\" {1}\r\np",
        "a AUTHENTICATE PLAIN =",
        "a ID NIL",
        "a ID (\"name\" \"x\" \"v\" NIL)",
        "a SELECT inbox",
        "a RENAME a \"b c\"",
        "a LIST \"\" %",
        "a LSUB \"\" \"*\"",
        "a XLIST \"\" %",
        "a LIST (SUBSCRIBED) \"\" (a b) RETURN (CHILDREN)",
        "a CREATE x (USE (\\Sent))",
        "a STATUS x (MESSAGES UNSEEN)",
        "a UID EXPUNGE 1:3",
        "a STORE 1 -FLAGS.SILENT (\\Deleted x)",
        "a UID STORE 1:* FLAGS \\Seen \\Draft",
        "a FETCH 1,3:* (FLAGS BODY[])",
        "a UID MOVE 4 x",
        "a SEARCH ALL",
        "a UID SEARCH RETURN (MIN PARTIAL 1:5) CHARSET UTF-8 $",
        "a SORT RETURN () (REVERSE DATE) UTF-8 ALL",
        "a UID THREAD REFERENCES US-ASCII UNSEEN",
        "a FETCH $ FLAGS",
        "a ENABLE X Y",
        "a COMPRESS deflate",
        "a SELECT x (CONDSTORE)",
        "a FETCH 1:* FAST (CHANGEDSINCE 0)",
        "a FETCH 1:* (FLAGS MODSEQ) (changedsince 12345)",
        "a STORE 7,5 (UNCHANGEDSINCE 320162338) +FLAGS.SILENT (\\Deleted)",
        "a STATUS x (HIGHESTMODSEQ)",
        "a SEARCH MODSEQ 5",
        "a EXAMINE x (QRESYNC (1 2 3) CONDSTORE)",
        "a UID FETCH 1:* (FLAGS) (VANISHED CHANGEDSINCE 1)",
        "a UID FETCH 1:* FLAGS (partial -1:-3 CHANGEDSINCE 1)",
    ] {
        let parsed = parse(text.as_bytes(), Bounds::USUAL);
        assert!(
            parsed.command.is_ok() && parsed.tag == b"a",
            "{text}: {parsed:?}"
        );
    }
}

#[test]
fn bad_commands() {
    for text in [
        "",
        "a",
        "a ",
        "a FOO",
        "a NOOP x",
        "a LOGIN u",
        "a LOGIN {9}\r\nu p",
        "a SELECT",
        "a FETCH 0 FLAGS",
        "a FETCH 1",
        "a STORE 1 FLAGS (\\Recent)",
        "a STORE 1 FLAGS (\\Foo)",
        "a UID NOOP",
        "a ID (\"name\")",
        "a ID (\"name\" \"x\" \"v\")",
        "a STATUS x ()",
        "a LOGIN \"u\0\" p",
        "a LIST \"\"",
        "a LSUB () \"\" *",
        "a XLIST \"\" * RETURN ()",
        "a SELECT \"x",
        "a FETCH 99999999999 FLAGS",
        "* NOOP",
        "a ENABLE",
        "a COMPRESS",
        "a COMPRESS DEFLATE 9",
        "a SELECT x (FOO)",
        "a SELECT x ()",
        "a SELECT x (CONDSTORE",
        "a FETCH 1 FLAGS (CHANGEDSINCE)",
        "a FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
        "a FETCH 1 ALLES",
        "a UID FETCH 1 FLAGS (PARTIAL)",
        "a UID FETCH 1 FLAGS (PARTIAL 1:*)",
        "a UID FETCH 1 FLAGS (PARTIAL 0:1)",
        "a UID FETCH 1 FLAGS (PARTIAL 1:-2)",
        "a UID FETCH 1 FLAGS (PARTIAL 1:2 PARTIAL 3:4)",
        "a STORE 1 (UNCHANGEDSINCE 1)",
        "a STORE 1 (CHANGEDSINCE 1) FLAGS x",
        "a SEARCH MODSEQ",
        "a SEARCH RETURN (ALL)",
        "a THREAD",
        "a SORT (DATE) ALL",
        "a FETCH 1,$ FLAGS",
    ] {
        assert!(
            parse(text.as_bytes(), Bounds::USUAL).command.is_err(),
            "{text}"
        );
    }
}

#[test]
fn mutated_commands_never_panic() {
    let seeds = [
        "a FETCH 1:* (BODY.PEEK[1.HEADER.FIELDS (a b)]<0.9> FLAGS)",
        "a UID FETCH $ (BINARY.PEEK[1.2]<0.9> BINARY.SIZE[3] PREVIEW (LAZY)) (PARTIAL -1:-9)",
        "a UID SEARCH RETURN (PARTIAL 1:5) OR EMAILID M1-_ SAVEDON 1-Feb-1994",
        "a LOGIN {3}\r\nabc \"d\\\"e\"",
        "a UID SEARCH CHARSET utf-8 OR (NOT 1:3 BEFORE 1-Jan-2000) HEADER x y",
        "a STORE 1,2 +FLAGS.SILENT (\\Seen x)",
    ];
    let mut state = 1u64;
    for round in 0..60_000 {
        let mut text = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..3 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let at = (state >> 33) as usize % text.len();
            match state >> 61 {
                0 => drop(text.remove(at)),
                1 => text.insert(at, (state >> 40) as u8),
                _ => text[at] = (state >> 40) as u8,
            }
        }
        parse(&text, Bounds::USUAL);
    }
}
