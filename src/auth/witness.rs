//! For tests of protocols: answers questions as the process with the secrets does, about the user of the RFCs.

use super::credentials::{Credentials, Proof, Verdict};
use super::dialogue::{Dialogue, Opening};
use super::exchange::{Answer, Judgement, Question};
use super::scram::Binding;
use super::users::Users;
use crate::config::Mechanism;

/// `user` has the password `pencil`, with the salts and nonces of RFC 5802 and RFC 7677.
const SHA_1: &str = "user:{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=\n";
const SHA_256: &str = "user:{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n";
const CRAM_MD5: &str = "user:{PLAIN}pencil\n";

/// The dialogue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Witness(Option<(&'static str, Dialogue)>);

impl Witness {
    /// The answer; passwords are judged by `verdict`. The TLS connection exports `binding`.
    pub(crate) fn answer(
        &mut self,
        question: Question,
        verdict: fn(&Credentials) -> Verdict,
    ) -> Answer {
        let rejected = || Answer::from(Verdict::Rejected);
        match question {
            // Whoever shows a certificate is ann.
            Question::Verify(Credentials {
                proof: Proof::Certificate(_),
                authzid,
                ..
            }) => match authzid.as_str() {
                "" | "ann" => Answer::Verdict(Judgement {
                    user: "ann".to_owned(),
                    ..Judgement::from(Verdict::Accepted)
                }),
                _ => rejected(),
            },
            Question::Verify(credentials) => Answer::Verdict(Judgement {
                verdict: verdict(&credentials),
                user: credentials.authcid,
                told: Vec::new(),
            }),
            Question::Begin {
                mechanism, message, ..
            } => {
                let (file, nonce) = match mechanism {
                    Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => {
                        (SHA_1, "3rfcNHYJY1ZVvWVs7j")
                    }
                    Mechanism::CramMd5 => (CRAM_MD5, "1"),
                    _ => (SHA_256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
                };
                let binding = match mechanism.binds() {
                    true => Binding {
                        exporter: Some(b"binding".to_vec()),
                        end_point: None,
                    },
                    false => Binding::default(),
                };
                let opening = Opening {
                    mechanism,
                    message: &message,
                    binding: &binding,
                    bindable: !binding.is_empty(),
                    nonce,
                    seed: b"",
                    iterations: 4096,
                    hostname: "test",
                };
                let (users, complaints) = Users::parse(file.as_bytes());
                assert_eq!(complaints, []);
                let Some((dialogue, challenge)) = Dialogue::begin(&users, &opening) else {
                    return rejected();
                };
                self.0 = Some((file, dialogue));
                Answer::Challenge(challenge)
            }
            Question::Respond(message) => {
                let (file, dialogue) = self.0.take().expect("a dialogue");
                let Some(mut credentials) = dialogue.respond(&message) else {
                    return rejected();
                };
                credentials.derive();
                let (users, _) = Users::parse(file.as_bytes());
                match users.check(&credentials) {
                    (verdict, Some(user)) => Answer::Verdict(Judgement {
                        verdict,
                        user: user.name.clone(),
                        told: credentials.server_final(),
                    }),
                    (other, None) => Answer::from(other),
                }
            }
        }
    }
}
