//! Transcripts of `tests/`: how they are found, and in which pieces a client's bytes come.

/// In which pieces something is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pieces {
    Whole,
    Bytes,
    /// In two, at this octet.
    Cut(usize),
}

impl Pieces {
    pub(crate) fn of(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Pieces::Whole => vec![bytes],
            Pieces::Bytes => bytes.chunks(1).collect(),
            Pieces::Cut(at) => {
                let (a, b) = bytes.split_at(at.min(bytes.len()));
                vec![a, b]
            }
        }
    }
}

/// Names and texts of all transcripts of a protocol, at least so many.
pub(crate) fn transcripts(protocol: &str, at_least: usize) -> Vec<(String, String)> {
    let directory = format!("{}/tests/{protocol}", env!("CARGO_MANIFEST_DIR"));
    let mut all: Vec<(String, String)> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, text)
        })
        .collect();
    all.sort();
    assert!(all.len() >= at_least, "the transcripts are there");
    all
}

/// Bytes as a transcript writes them: `\r`, `\n` and `\0` stand for these.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let text = text.replace("\\r", "\r").replace("\\n", "\n");
    text.replace("\\0", "\0").into_bytes()
}
