//! Putting a question to the hosts: to all of them, or to one after the other until one answers.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};

use super::site::Site;
use super::{Current, Inner, blocking};
use crate::vpk::request::Call;
use crate::vpk::{Mode, Opening, Quantized, Scores, Step};
use crate::{Error, ErrorCode, Result};

/// How long the replies that a search did not wait for are still looked at, to find out who lies.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// The inner error is one after which another attempt makes sense.
pub(super) type Attempt = Result<std::result::Result<Scores, Error>>;

/// One host's reply to a question, with the host's place.
type Asked = Pin<Box<dyn Future<Output = (usize, Result<Vec<u8>>)> + Send>>;

/// The replies to one question as they come.
type Replies = FuturesUnordered<Asked>;

/// A question, and what a session needs, for each host.
struct Asking {
    site: Arc<Site>,
    parts: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Asking {
    fn ask(&self, host: usize) -> Asked {
        let (site, (part, session)) = (self.site.clone(), self.parts[host].clone());
        Box::pin(async move {
            let (start, length) = (Instant::now(), part.len());
            let mut answer = site.call(host, Call::Ask(part.clone())).await;
            if answer.as_ref().is_err_and(|error| error.code() == ErrorCode::NotFound) && !session.is_empty() {
                answer = match site.call(host, Call::Admit(session)).await {
                    Ok(_) => site.call(host, Call::Ask(part)).await,
                    Err(error) => Err(error),
                };
            } else if answer.is_ok() {
                site.took(host, start.elapsed());
            }
            if let Ok(reply) = &answer {
                site.carried(length, reply.len());
            }
            (host, answer)
        })
    }
}

impl Inner {
    /// The scores of all sealed vectors.
    pub(super) async fn scores(&self, current: &Current, question: &Quantized) -> Attempt {
        let (site, stamps) = (current.site.clone(), current.state.stamps());
        if stamps.is_empty() {
            return Ok(Ok(Scores { exact: Vec::new(), liars: Vec::new() }));
        }
        let able: Vec<usize> = (0..site.hosts.len()).filter(|host| !site.is_behind(*host)).collect();
        if able.len() < site.config.needed() {
            return Ok(Err(Error::unreachable("too few hosts have the segments")));
        }
        let (owner, values) = (current.owner.clone(), question.values.clone());
        let (asked, sessions) = blocking(move || Ok((owner.ask(&values, &stamps)?, owner.session()?))).await?;
        let asking = Asking { site: site.clone(), parts: asked.parts.into_iter().zip(sessions).collect() };
        if site.config.mode == Mode::Split {
            let replies: Replies = able.iter().map(|host| asking.ask(*host)).collect();
            return collect(&site, replies, asked.opening).await;
        }
        match ask_in_turn(&asking, able, asked.opening).await {
            // It is not asked under these keys again, and the others under new ones.
            Ok(Err(error)) if error.code() == ErrorCode::CorruptData => {
                self.renew(current)?;
                Ok(Err(error))
            }
            outcome => outcome,
        }
    }

    /// Begins another session, unless somebody has done so already.
    fn renew(&self, current: &Current) -> Result<()> {
        let owner = current.site.config.owner(&current.key)?;
        self.change_current(|now| {
            if Arc::ptr_eq(&now.owner, &current.owner) {
                now.owner = owner;
            }
        });
        Ok(())
    }
}

/// Asks all of them. The fastest sufficient replies are the answer.
async fn collect(site: &Arc<Site>, mut replies: Replies, mut opening: Box<dyn Opening>) -> Attempt {
    let (mut failed, mut offered) = (None, 0);
    while let Some((host, answer)) = replies.next().await {
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => {
                failed.get_or_insert(error);
                continue;
            }
        };
        offered += 1;
        let (back, step) = offer(opening, host, reply).await?;
        opening = back;
        match step? {
            Step::Wait => {}
            Step::Done(scores) => {
                site.liars().extend(&scores.liars);
                watch(site, replies, opening);
                return Ok(Ok(scores));
            }
        }
    }
    let lies = || Error::corrupt_data("too many hosts answered wrongly").with_remedy("choose other hosts");
    fail(failed.filter(|_| offered < site.config.needed()).unwrap_or_else(lies))
}

/// Asks the fastest, and while it takes longer than it usually does, the next one too. Whose turn it is depends on how long they
/// take and on nothing that they answer.
async fn ask_in_turn(asking: &Asking, able: Vec<usize>, opening: Box<dyn Opening>) -> Attempt {
    let site = &asking.site;
    let several = site.hosts.len() > 1;
    let mut turns: Vec<usize> = match several {
        true => able.into_iter().filter(|host| !site.liars().contains(host)).collect(),
        false => able,
    };
    turns.sort_by_key(|host| site.patience(*host));
    let mut turns = turns.into_iter();
    let mut replies: Replies = FuturesUnordered::new();
    let mut failed = None;
    let (mut last, mut asked_at) = (0, Instant::now());
    loop {
        if replies.is_empty() {
            let Some(host) = turns.next() else { break };
            (last, asked_at) = (host, Instant::now());
            replies.push(asking.ask(host));
        }
        let patience = site.patience(last).saturating_sub(asked_at.elapsed());
        let reply = match turns.len() {
            0 => replies.next().await,
            _ => match tokio::time::timeout(patience, replies.next()).await {
                Ok(reply) => reply,
                Err(_) => {
                    site.took(last, asked_at.elapsed() * 2);
                    if let Some(host) = turns.next() {
                        (last, asked_at) = (host, Instant::now());
                        replies.push(asking.ask(host));
                    }
                    continue;
                }
            },
        };
        let Some((host, answer)) = reply else { continue };
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => {
                failed = Some(error);
                continue;
            }
        };
        let (_, step) = offer(opening, host, reply).await?;
        return match step {
            Ok(Step::Done(scores)) => Ok(Ok(scores)),
            Ok(Step::Wait) => Err(Error::internal("the reply of a replica was not enough")),
            Err(error) => {
                site.liars().insert(host);
                if several { Ok(Err(error)) } else { Err(error) }
            }
        };
    }
    let lies = || Error::corrupt_data("all hosts answered wrongly").with_remedy("repair the collection");
    fail(failed.unwrap_or_else(lies))
}

/// What another attempt does not change is told as it is.
fn fail(error: Error) -> Attempt {
    match error.code() {
        ErrorCode::Conflict | ErrorCode::NotFound | ErrorCode::Busy => Ok(Err(error)),
        _ => Err(error),
    }
}

async fn offer(mut opening: Box<dyn Opening>, host: usize, reply: Vec<u8>) -> Result<(Box<dyn Opening>, Result<Step>)> {
    blocking(move || {
        let step = opening.offer(host, &reply);
        Ok((opening, step))
    })
    .await
}

/// Looks at the replies that are still to come, for those that are wrong.
fn watch(site: &Arc<Site>, mut replies: Replies, mut opening: Box<dyn Opening>) {
    if replies.is_empty() {
        return;
    }
    let liars = site.list_of_liars();
    tokio::spawn(async move {
        let rest = async {
            while let Some((host, answer)) = replies.next().await {
                let (Ok(reply), Some(liars)) = (answer, liars.upgrade()) else { continue };
                if let Ok(Step::Done(scores)) = opening.offer(host, &reply) {
                    liars.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(scores.liars);
                }
            }
        };
        let _ = tokio::time::timeout(AFTERWARDS, rest).await;
    });
}
