//! Answers from documents: as the knowledge base gives them, and as a model of OpenAI's API would.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::{failed, found, options};
use crate::event::{Item, Stream};
use crate::http::Shared;
use crate::http::chat::{Head, messages};
use crate::http::fields::Fields;
use crate::http::meter::Generating;
use crate::http::path::encoded;
use crate::http::reply::{Body, Failure, event, json as reply, response};
use crate::http::route::turn;
use crate::llm::Role;
use crate::rag::{Answer, AskEvent, AskOptions, Citation, Rag};
use crate::{Error, Result};

/// How long nothing is said while an answer is being made; some proxies give up after a minute.
const PULSE: Duration = Duration::from_secs(10);

/// A question that is being answered. Dropping it withdraws the question.
struct Asked {
    events: Stream<AskEvent>,
    first: Option<AskEvent>,
    _turn: Generating,
}

impl Asked {
    /// Asks, and waits for the first word: what fails before it still has a status of its own.
    async fn start(
        shared: &Shared,
        rag: &Rag,
        question: &str,
        options: AskOptions,
    ) -> std::result::Result<Asked, Failure> {
        let turn = turn(shared)?;
        let mut asked = Asked { events: rag.ask(question, options)?, first: None, _turn: turn };
        asked.first = asked.next().await.map_err(failed)?;
        Ok(asked)
    }

    /// The next event; `None` after the last.
    async fn next(&mut self) -> Result<Option<AskEvent>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            match self.events.next().await? {
                Some(Item::Value(event)) => return Ok(Some(event)),
                // The whole text comes with the last event.
                Some(Item::Lagged { .. }) => {}
                None => return Ok(None),
            }
        }
    }

    /// The answer, when all of it is decided. Can be asked again after the wait was given up.
    async fn answer(&mut self) -> Result<Answer> {
        while let Some(event) = self.next().await? {
            if let AskEvent::Done { answer } = event {
                return Ok(*answer);
            }
        }
        Err(Error::internal("an answer ended without its last event"))
    }
}

/// `POST /v1/knowledge/{name}/ask`.
pub(in crate::http) async fn ask(
    shared: &Arc<Shared>,
    name: &str,
    body: &[u8],
) -> std::result::Result<Response<Body>, Failure> {
    let rag = found(shared, name)?;
    let fields = Fields::parse(body)?;
    fields.needed("question")?;
    let question = fields.text("question")?.unwrap_or_default();
    let stream = fields.flag("stream")?.unwrap_or_default();
    let options: AskOptions = options(&fields.without(&["question", "stream"]), None)?;
    let mut asked = Asked::start(shared, rag, question, options).await?;
    if !stream {
        return Ok(reply(StatusCode::OK, &json!(asked.answer().await.map_err(failed)?)));
    }
    let frames = unfold(Some(asked), |asked| async move {
        let mut asked = asked?;
        let (bytes, rest) = match asked.next().await {
            Ok(Some(said)) => (event(&json!(said)), Some(asked)),
            Ok(None) => return None,
            Err(error) => (event(&failed(error).envelope()), None),
        };
        Some((Ok(Frame::data(bytes)), rest))
    });
    Ok(response(StatusCode::OK, "text/event-stream", StreamBody::new(frames).boxed_unsync()))
}

/// A conversation with a knowledge base. What the user said last is the question, and what was said before is its history.
pub(in crate::http) async fn chat(
    shared: &Arc<Shared>,
    name: &str,
    rag: &Rag,
    fields: &Fields,
    host: &str,
) -> std::result::Result<Response<Body>, Failure> {
    for field in ["tools", "functions", "function_call", "audio", "prediction"] {
        let empty = fields.get(field).and_then(Value::as_array).is_some_and(Vec::is_empty);
        if !empty {
            fields.refuse(field, "a knowledge base answers from its documents and does nothing else")?;
        }
    }
    fields.refuse("logprobs", "an answer from documents has no probabilities")?;
    if fields.whole("n", 1..=u32::MAX)?.is_some_and(|choices| choices > 1) {
        return Err(Failure::unsupported("n", "there is one answer from the documents"));
    }
    if let Some(format) = fields.object("response_format")?
        && format.text("type")? != Some("text")
    {
        return Err(Failure::unsupported("response_format", "answers from documents are text"));
    }
    let stream = fields.flag("stream")?.unwrap_or_default();
    let mut options: AskOptions = match fields.object("kwaainet")? {
        Some(wishes) => options(&wishes.without(&[]), Some("kwaainet"))?,
        None => AskOptions::default(),
    };
    for limit in ["max_tokens", "max_completion_tokens"] {
        options.max_tokens = fields.whole(limit, 1..=u32::MAX)?.unwrap_or(options.max_tokens);
    }
    let mut said = messages(fields)?;
    let last = said.iter().rposition(|message| message.role == Role::User && !message.content.trim().is_empty());
    let last = last.ok_or_else(|| fields.wrong("messages", "a conversation in which the user asks something"))?;
    let question = said.swap_remove(last).content;
    said.truncate(last);
    options.history = said;
    let mut asked = Asked::start(shared, rag, &question, options).await?;
    let writer = Writer { head: Head::new(shared, "chatcmpl", name, "kwaainet-rag".into()), page: page(host, name) };
    match stream {
        true => Ok(writer.streamed(asked)),
        false => Ok(reply(StatusCode::OK, &writer.whole(&asked.answer().await.map_err(failed)?))),
    }
}

/// The address of the page, up to what says which passage it is to show.
fn page(host: &str, name: &str) -> String {
    format!("http://{host}/#knowledge={}", encoded(name))
}

/// Writes answers as completions of OpenAI's API.
struct Writer {
    head: Head,
    page: String,
}

impl Writer {
    fn whole(&self, answer: &Answer) -> Value {
        let message = json!({
            "role": "assistant", "content": answer.text, "refusal": null, "annotations": self.annotations(answer),
        });
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": reason(answer)});
        let mut whole = self.head.of("chat.completion", vec![choice]);
        whole.insert("kwaainet".into(), about(answer));
        whole.into()
    }

    fn part(&self, delta: Value, reason: Option<&str>) -> serde_json::Map<String, Value> {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason});
        self.head.of("chat.completion.chunk", vec![choice])
    }

    /// The parts of an answer that is decided.
    fn parts(&self, answer: &Answer) -> Vec<Value> {
        let text = self.part(json!({"content": answer.text}), None);
        let mut sources = self.part(json!({"annotations": self.annotations(answer)}), None);
        sources.insert("kwaainet".into(), about(answer));
        [text, sources, self.part(json!({}), Some(reason(answer)))].into_iter().map(Value::from).collect()
    }

    /// Sends nothing of an answer before all of it is decided, since a client cannot be made to forget what was retracted.
    fn streamed(self, asked: Asked) -> Response<Body> {
        let begin = self.part(json!({"role": "assistant", "content": ""}), None).into();
        let state = (Some(asked), self, VecDeque::from([event(&begin)]));
        let frames = unfold(state, |(mut asked, writer, mut queue)| async move {
            if queue.is_empty() {
                match tokio::time::timeout(PULSE, asked.as_mut()?.answer()).await {
                    Err(_) => queue.push_back(Bytes::from_static(b": the answer is being made\n\n")),
                    Ok(result) => {
                        asked = None;
                        match result {
                            Ok(answer) => {
                                queue.extend(writer.parts(&answer).iter().map(event));
                                queue.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
                            }
                            Err(error) => queue.push_back(event(&Failure::from(error).envelope())),
                        }
                    }
                }
            }
            let bytes = queue.pop_front()?;
            Some((Ok(Frame::data(bytes)), (asked, writer, queue)))
        });
        response(StatusCode::OK, "text/event-stream", StreamBody::new(frames).boxed_unsync())
    }

    /// The citations as OpenAI's API has those of web pages: for each `[n]` of the text, in characters, with the address at which the
    /// page shows the passage.
    fn annotations(&self, answer: &Answer) -> Vec<Value> {
        let mut all: Vec<(usize, Value)> = Vec::new();
        for (number, span) in answer.marks() {
            for citation in answer.citations.iter().filter(|citation| citation.number == number) {
                let start = answer.text[..span.start].chars().count();
                let end = start + span.len();
                let url = self.passage(citation);
                let title = match &citation.locator {
                    Some(locator) => format!("{}, {locator}", citation.document),
                    None => citation.document.clone(),
                };
                let cited = json!({"start_index": start, "end_index": end, "title": title, "url": url});
                all.push((start, json!({"type": "url_citation", "url_citation": cited})));
            }
        }
        all.sort_by_key(|(start, _)| *start);
        all.into_iter().map(|(_, annotation)| annotation).collect()
    }

    fn passage(&self, citation: &Citation) -> String {
        let (from, to) = (citation.span.start, citation.span.end);
        format!("{}&document={}&from={from}&to={to}", self.page, encoded(&citation.document_id))
    }
}

/// Why the answer ends where it does.
fn reason(answer: &Answer) -> &'static str {
    if answer.is_cut() { "length" } else { "stop" }
}

/// What OpenAI's API has no member for.
fn about(answer: &Answer) -> Value {
    json!({
        "sources": answer.citations, "refused": answer.refused, "support": answer.support, "why": answer.why,
        "mode": answer.mode, "note": answer.note, "model": answer.model,
    })
}
