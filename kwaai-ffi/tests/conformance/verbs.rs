//! The verbs that scenarios call, one line for each.

#![expect(clippy::unit_arg, reason = "what answers nothing is compared as null")]

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use kwaai_core::Error;
use kwaai_core::rag::evaluate::{Evaluation, EvaluationQuestion};
use kwaai_core::rag::{AskOptions, CalibrationQuestion, SearchOptions};
use kwaai_ffi::http::{Served, ServedEmbedder, ServedModel};
use kwaai_ffi::node::{Contribution, NodeConfig};
use kwaai_ffi::provide::{Embedder, Reader, Signer, Supplies, Writer};
use kwaai_ffi::rag::{Options, SyncOptions};
use kwaai_ffi::shard::BlockChoice;
use kwaai_ffi::trust::{Filter, TrustOptions};
use kwaai_ffi::{
    CancelToken, Federation, HostConsole, HttpServer, Item, JsonStream, Model, Node, Rag, Result, ShardEngine,
    SharedKnowledge, Spelling, TrustGraph, VectorCollection, Vpk, from_json, testing, to_json,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::provided::{Failing, Letters, Lines, Parrot, SINK, Seeded};
use crate::{federated, vectors, web};

/// A handle that a scenario has saved.
#[derive(Clone)]
pub enum Object {
    Node(Arc<Node>),
    Trust(Arc<TrustGraph>),
    Shards(Arc<ShardEngine>),
    Model(Arc<Model>),
    Rag(Arc<Rag>),
    Shared(Arc<SharedKnowledge>),
    Federation(Arc<Federation>),
    Vpk(Arc<Vpk>),
    Collection(Arc<VectorCollection>),
    Console(Arc<HostConsole>),
    HttpServer(Arc<HttpServer>),
    Stream(Arc<dyn JsonStream>, Arc<Mutex<VecDeque<Value>>>),
    Embedder(Embedder),
    Writer(Writer),
    Reader(Reader),
    Signer(Signer),
    Sink,
}

/// What a call answers.
#[derive(Clone)]
pub enum Answer {
    Data(Value),
    Object(Object),
}

impl Object {
    /// A property, as a field of the object.
    pub fn property(&self, name: &str) -> Option<Value> {
        let text = match (self, name) {
            (Object::Node(node), "name") => node.identity().name.clone(),
            (Object::Node(node), "peer_id") => node.identity().peer_id.clone(),
            (Object::Node(node), "did") => node.identity().did.clone(),
            (Object::Trust(graph), "did") => graph.did().to_string(),
            (Object::Collection(collection), "name") => collection.name().to_owned(),
            (Object::Collection(collection), "id") => collection.id().to_owned(),
            (Object::Shared(shared), "capability") => return to_json(shared.capability()).ok(),
            (Object::Federation(federation), "members") => return Some(json!(federation.members())),
            (Object::Console(console), "url") => console.url().to_owned(),
            (Object::HttpServer(server), "address") => server.address(),
            (Object::HttpServer(server), "port") => return Some(json!(server.port())),
            (Object::HttpServer(server), "base_url") => server.base_url().to_owned(),
            (Object::Model(model), "id") => model.info().id.clone(),
            (Object::Model(model), "name") => model.info().name.clone(),
            (Object::Model(model), "blocks") => return Some(json!(model.info().blocks)),
            _ => return None,
        };
        Some(Value::String(text))
    }

    /// Ends it.
    pub async fn shutdown(self) {
        let token = CancelToken::new();
        // Ending what has ended is fine, and nothing else is asked of a scenario's end.
        let _ = match self {
            Object::Node(node) => node.shutdown(None, token).await,
            Object::Rag(rag) => rag.shutdown(token).await,
            Object::Trust(graph) => Ok(graph.shutdown()),
            Object::Shards(engine) => Ok(engine.shutdown()),
            Object::Model(model) => Ok(model.shutdown()),
            Object::Collection(collection) => Ok(collection.shutdown()),
            Object::Console(console) => Ok(console.shutdown()),
            Object::HttpServer(server) => server.shutdown(None, token).await,
            Object::Stream(stream, _) => Ok(stream.stop()),
            _ => Ok(()),
        };
    }
}

/// Whether a text stands for something saved; `${…}` is a part of a longer text instead.
pub fn is_reference(text: &str) -> bool {
    text.starts_with('$') && !text.starts_with("${")
}

fn holds_reference(value: &Value) -> bool {
    match value {
        Value::String(text) => is_reference(text),
        Value::Object(fields) => fields.values().any(holds_reference),
        _ => false,
    }
}

/// The arguments of a call: plain data, and the objects among them by their path.
#[derive(Default)]
pub struct Arguments {
    data: Map<String, Value>,
    objects: HashMap<String, Object>,
}

impl Arguments {
    /// Adds an argument; whatever in it is a reference still is an object.
    pub fn add(
        &mut self,
        name: &str,
        value: Value,
        object: impl Fn(&str) -> std::result::Result<Object, String> + Copy,
    ) -> std::result::Result<(), String> {
        match &value {
            Value::String(text) if is_reference(text) => {
                self.objects.insert(name.to_owned(), object(text)?);
                return Ok(());
            }
            Value::Array(list) if list.iter().any(|item| item.as_str().is_some_and(is_reference)) => {
                for (at, item) in list.iter().enumerate() {
                    self.add(&format!("{name}.{at}"), item.clone(), object)?;
                }
                return Ok(());
            }
            Value::Object(fields) if holds_reference(&value) => {
                for (key, item) in fields {
                    self.add(&format!("{name}.{key}"), item.clone(), object)?;
                }
                return Ok(());
            }
            _ => {}
        }
        self.data.insert(name.to_owned(), value);
        Ok(())
    }

    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        from_json(name, &self.data.get(name).unwrap_or(&Value::Null).to_string(), Spelling::Snake)
    }

    /// Everything that is left of the arguments, as one record.
    pub fn record<T: DeserializeOwned>(&self, except: &[&str]) -> Result<T> {
        let mut data = self.data.clone();
        data.retain(|name, _| !except.contains(&name.as_str()) && !name.contains('.'));
        from_json("", &Value::Object(data).to_string(), Spelling::Snake)
    }

    /// An object among the arguments.
    pub fn object(&self, name: &str) -> Option<&Object> {
        self.objects.get(name)
    }

    fn model(&self, name: &str) -> Result<Arc<Model>> {
        match self.objects.get(name) {
            Some(Object::Model(model)) => Ok(model.clone()),
            _ => Err(Error::invalid_argument(format!("{name} is no model")).into()),
        }
    }

    fn maybe_model(&self, name: &str) -> Result<Option<Arc<Model>>> {
        let left_out = !self.objects.contains_key(name) && self.data.get(name).is_none_or(Value::is_null);
        if left_out { Ok(None) } else { self.model(name).map(Some) }
    }

    fn supplies(&self) -> Result<Supplies> {
        let mut supplies = Supplies::default();
        for (name, object) in self.objects.iter().collect::<BTreeMap<_, _>>() {
            match (name.as_str(), object) {
                ("embedder", Object::Embedder(embedder)) => supplies.embedder = Some(embedder.clone()),
                ("model", Object::Writer(writer)) => supplies.writer = Some(writer.clone()),
                ("model.engine", Object::Shards(engine)) => {
                    let model = self.model("model.model")?;
                    supplies.writer = Some(engine.writer(&model, self.get("model.route")?)?);
                }
                ("model.model", Object::Model(_)) => {}
                (name, Object::Reader(reader)) if name.starts_with("readers.") => supplies.readers.push(reader.clone()),
                (name, _) => return Err(Error::invalid_argument(format!("{name} is of another kind")).into()),
            }
        }
        Ok(supplies)
    }

    /// What a server is to answer with.
    fn served(&self) -> Result<Served> {
        let mut served = Served::default();
        for name in self.names("models")? {
            let path = format!("models.{name}");
            let model = match (self.objects.get(&path), self.objects.get(&format!("{path}.engine"))) {
                (Some(Object::Writer(writer)), _) => ServedModel::Writer(writer.clone()),
                (None, Some(Object::Shards(engine))) => {
                    let model = self.model(&format!("{path}.model"))?;
                    ServedModel::Writer(engine.writer(&model, self.get(&format!("{path}.route"))?)?)
                }
                (None, None) => ServedModel::Endpoint(self.named("models", &name)?),
                _ => return Err(Error::invalid_argument(format!("{path} is of another kind")).into()),
            };
            served.models.push((name, model));
        }
        for name in self.names("embedders")? {
            let path = format!("embedders.{name}");
            let embedder = match self.objects.get(&path) {
                Some(Object::Embedder(embedder)) => ServedEmbedder::Own(embedder.clone()),
                Some(_) => return Err(Error::invalid_argument(format!("{path} is of another kind")).into()),
                None => ServedEmbedder::Named(self.named("embedders", &name)?),
            };
            served.embedders.push((name, embedder));
        }
        for name in self.names("knowledge")? {
            let path = format!("knowledge.{name}");
            let Some(Object::Rag(rag)) = self.objects.get(&path) else {
                return Err(Error::invalid_argument(format!("{path} is no knowledge base")).into());
            };
            served.knowledge.push((name, rag.served()?));
        }
        Ok(served)
    }

    /// The names within an argument that is an object.
    pub fn names(&self, argument: &str) -> Result<BTreeSet<String>> {
        let inside = |path: &String| {
            let rest = path.strip_prefix(argument)?.strip_prefix('.')?;
            Some(rest.split('.').next().unwrap_or_default().to_owned())
        };
        let plain: Option<Map<String, Value>> = self.get(argument)?;
        let referred = self.objects.keys().chain(self.data.keys()).filter_map(inside);
        Ok(plain.unwrap_or_default().into_iter().map(|(name, _)| name).chain(referred).collect())
    }

    /// A part of an argument that is an object.
    fn named<T: DeserializeOwned>(&self, argument: &str, name: &str) -> Result<T> {
        let part = match self.data.get(argument) {
            Some(whole) => whole.get(name),
            None => self.data.get(&format!("{argument}.{name}")),
        };
        from_json(argument, &part.unwrap_or(&Value::Null).to_string(), Spelling::Snake)
    }

    /// The options of a knowledge base, where a language model behind an endpoint is an option.
    fn rag_options(&self, except: &[&str]) -> Result<Options> {
        let mut renamed = Arguments { data: self.data.clone(), objects: HashMap::new() };
        if let Some(endpoint) = renamed.data.remove("model") {
            renamed.data.insert("endpoint".into(), endpoint);
        }
        renamed.record(except)
    }
}

pub fn stream(stream: impl JsonStream + 'static) -> Answer {
    Answer::Object(Object::Stream(Arc::new(stream), Arc::default()))
}

pub fn data(record: impl serde::Serialize) -> Result<Answer> {
    to_json(&record).map(Answer::Data)
}

pub fn object(object: Object) -> Result<Answer> {
    Ok(Answer::Object(object))
}

/// Makes a call.
pub async fn call(name: &str, on: Option<Object>, args: Arguments, cancel: CancelToken) -> Result<Answer> {
    if let Some(property) = name.split_once('.').and_then(|(_, verb)| on.as_ref()?.property(verb)) {
        return Ok(Answer::Data(property));
    }
    match on {
        None => free(name, args, cancel).await,
        Some(object) if name == "Object.shutdown" => {
            object.shutdown().await;
            data(())
        }
        Some(Object::Node(node)) => on_node(name, &node, args, cancel).await,
        Some(Object::Trust(graph)) => on_trust(name, &graph, args, cancel).await,
        Some(Object::Shards(engine)) => on_shards(name, &engine, args, cancel).await,
        Some(Object::Model(model)) => match name {
            "Model.info" => data(model.info()),
            "Model.shutdown" => data(model.shutdown()),
            _ => unknown(name),
        },
        Some(Object::Rag(rag)) => on_rag(name, &rag, args, cancel).await,
        Some(Object::Shared(shared)) => federated::on_shared(name, &shared, args, cancel).await,
        Some(Object::Federation(federation)) => federated::on_federation(name, &federation, args, cancel).await,
        Some(Object::Vpk(vpk)) => vectors::on_vpk(name, &vpk, args, cancel).await,
        Some(Object::Collection(collection)) => vectors::on_collection(name, &collection, args, cancel).await,
        Some(Object::Console(console)) => vectors::on_console(name, &console),
        Some(Object::HttpServer(server)) => match name {
            "HttpServer.shutdown" => data(server.shutdown(args.get("grace_ms")?, cancel).await?),
            _ => unknown(name),
        },
        Some(Object::Stream(stream, ready)) => on_stream(name, stream, &ready, cancel).await,
        Some(Object::Sink) if name == "Provide.logged" => data(&*SINK.0.lock().expect("no sink panics")),
        Some(_) => unknown(name),
    }
}

pub fn unknown(name: &str) -> Result<Answer> {
    Err(Error::unsupported(format!("there is no call {name}")).into())
}

async fn free(name: &str, args: Arguments, cancel: CancelToken) -> Result<Answer> {
    match name {
        "Node.start" => {
            let config: NodeConfig = args.record(&[])?;
            object(Object::Node(Arc::new(Node::start(config, cancel).await?)))
        }
        "TrustGraph.open" => {
            let signer = match args.objects.get("signer") {
                Some(Object::Signer(signer)) => Some(signer.clone()),
                _ => None,
            };
            let options: TrustOptions = args.record(&[])?;
            object(Object::Trust(Arc::new(TrustGraph::open(options, signer, cancel).await?)))
        }
        "ShardEngine.open" => object(Object::Shards(Arc::new(ShardEngine::open(cancel).await?))),
        "Rag.open" => {
            let options = args.rag_options(&["dir"])?;
            object(Object::Rag(Arc::new(Rag::open(args.get("dir")?, options, args.supplies()?, cancel).await?)))
        }
        "Library.version" => data(kwaai_ffi::VERSION),
        "Library.check_citations" => {
            let sources: Vec<String> = args.get("sources")?;
            data(kwaai_ffi::rag::check_citations(&args.get::<String>("text")?, &sources))
        }
        "Library.check_provenance" | "Library.read_knowledge_capability" => federated::of_library(name, &args),
        "Library.compare_evaluations" => {
            let (own, other): (Evaluation, Evaluation) = (args.get("evaluation")?, args.get("other")?);
            data(kwaai_ffi::rag::compare_evaluations(&own, &other)?)
        }
        "Library.evaluation_report" => {
            let (own, beside): (Evaluation, Option<Evaluation>) = (args.get("evaluation")?, args.get("beside")?);
            data(kwaai_ffi::rag::evaluation_report(&own, beside.as_ref(), args.get("form")?))
        }
        "Library.resolve_did" => data(kwaai_ffi::resolve_did(&args.get::<String>("did")?)?),
        "Library.init_logging" => data(kwaai_ffi::init_logging(&args.get::<String>("filter")?, SINK.clone())?),
        "Provide.embedder" => {
            let code = Letters { dimension: args.get("dimension")?, fails: Failing(args.get("fails")?) };
            let deadline = args.get("deadline_ms")?;
            let embedder = Embedder::foreign(args.get("id")?, args.get("dimension")?, deadline, Arc::new(code))?;
            object(Object::Embedder(embedder))
        }
        "Provide.model" => {
            let code = Parrot { reply: args.get("reply")?, fails: Failing(args.get("fails")?) };
            object(Object::Writer(Writer::foreign(args.get("name")?, None, Arc::new(code))?))
        }
        "Provide.reader" => {
            let code = Lines { fails: Failing(args.get("fails")?) };
            object(Object::Reader(Reader::foreign(args.get("extensions")?, None, Arc::new(code))?))
        }
        "Provide.signer" => {
            let code = Seeded { seed: args.get("seed")?, fails: Failing(args.get("fails")?) };
            object(Object::Signer(Signer::foreign(testing::seed_did(code.seed)?, None, Arc::new(code))?))
        }
        "Provide.sink" => object(Object::Sink),
        "Testing.raise" => data(testing::raise(args.get("number")?, cancel).await?),
        "Testing.panic" => data(testing::panic(cancel).await?),
        "Testing.hang" => data(testing::hang(cancel).await?),
        "Testing.numbers" => Ok(stream(testing::numbers(args.get("count")?, args.get("capacity")?, args.get("open")?))),
        "Testing.live_handles" => data(testing::live_handles()),
        "Testing.page" => data(web::page(args.get("url")?).await?),
        "Testing.request" => data(web::request(args.get("url")?, args.get("token")?, args.get("body")?).await?),
        _ => unknown(name),
    }
}

async fn on_node(name: &str, node: &Node, args: Arguments, cancel: CancelToken) -> Result<Answer> {
    match name {
        "Node.info" => data(node.info(cancel).await?),
        "Node.peers" => data(node.peers(cancel).await?),
        "Node.diagnose" => data(node.diagnose(cancel).await?),
        "Node.metrics" => data(node.metrics(cancel).await?),
        "Node.connect" => data(node.connect(args.get("address")?, cancel).await?),
        "Node.disconnect" => data(node.disconnect(args.get("peer")?, cancel).await?),
        "Node.find_peer" => data(node.find_peer(args.get("peer")?, cancel).await?),
        "Node.probe" => data(node.probe(args.get("peer")?, cancel).await?),
        "Node.ask_trust" => {
            data(node.ask_trust(args.get("peer")?, args.get("about")?, args.get("at_least")?, cancel).await?)
        }
        "Node.ask_word" => data(node.ask_word(args.get("peer")?, cancel).await?),
        "Node.refresh_status_lists" => data(node.refresh_status_lists(cancel).await?),
        "Node.test_credential" => {
            let options = args.record(&["credential_id", "model"])?;
            data(node.test_credential(args.get("credential_id")?, args.maybe_model("model")?, options, cancel).await?)
        }
        "Node.sight" => data(node.sight(args.get("peer")?, cancel).await?),
        "Node.watch_peers" => data(node.watch_peers(args.get("period_ms")?, cancel).await?),
        "Node.issue_throughput" => {
            let (model, rate) = (args.model("model")?, args.record(&["peer", "model"])?);
            data(node.issue_throughput(args.get("peer")?, model, rate, cancel).await?)
        }
        "Node.send_message" => data(node.send_message(args.get("peer")?, args.get("text")?, cancel).await?),
        "Node.messages" => Ok(stream(node.messages()?)),
        "Node.events" => Ok(stream(node.events()?)),
        "Node.trust" => object(Object::Trust(node.trust())),
        "Node.shards" => object(Object::Shards(node.shards())),
        "Node.vpk" => object(Object::Vpk(node.vpk())),
        "Node.rag" => {
            let rag = node.rag(args.get("name")?, args.rag_options(&["name"])?, args.supplies()?, cancel).await?;
            object(Object::Rag(Arc::new(rag)))
        }
        "Node.serve_http" => {
            let options = args.record(&["models", "embedders", "knowledge"])?;
            let server = node.serve_http(args.served()?, options, cancel).await?;
            object(Object::HttpServer(Arc::new(server)))
        }
        "Node.share_knowledge" | "Node.shared_knowledge" | "Node.federation" | "Node.prove" => {
            federated::on_node(name, node, args, cancel).await
        }
        "Node.contribute" => data(node.contribute(args.record::<Contribution>(&[])?, cancel).await?),
        "Node.advance_clock" => data(node.advance_clock(args.get("by_ms")?)?),
        "Node.shutdown" => data(node.shutdown(args.get("grace_ms")?, cancel).await?),
        _ => unknown(name),
    }
}

async fn on_trust(name: &str, graph: &TrustGraph, args: Arguments, cancel: CancelToken) -> Result<Answer> {
    match name {
        "TrustGraph.issue" => {
            let claims = args.data.get("claims").cloned().unwrap_or(json!({})).to_string();
            let (kind, subject) = (args.get("type")?, args.get("subject")?);
            let revocable: Option<bool> = args.get("revocable")?;
            let valid_for = args.get("valid_for_ms")?;
            data(graph.issue(kind, subject, claims, valid_for, revocable.unwrap_or_default(), cancel).await?)
        }
        "TrustGraph.verify" => data(graph.verify(args.get("credential")?, cancel).await?),
        "TrustGraph.read_legacy" => data(graph.read_legacy(args.get("credential")?, cancel).await?),
        "TrustGraph.read_dtg" => data(graph.read_dtg(args.get("credential")?, cancel).await?),
        "TrustGraph.import_credential" => data(graph.import_credential(args.get("credential")?, cancel).await?),
        "TrustGraph.credentials" => data(graph.credentials(args.record::<Filter>(&[])?, cancel).await?),
        "TrustGraph.credential" => data(graph.credential(args.get("id")?, cancel).await?),
        "TrustGraph.remove_credential" => data(graph.remove_credential(args.get("id")?, cancel).await?),
        "TrustGraph.issuers" => data(graph.issuers(cancel).await?),
        "TrustGraph.trust_issuer" => data(graph.trust_issuer(args.get("did")?, args.get("types")?, cancel).await?),
        "TrustGraph.distrust_issuer" => data(graph.distrust_issuer(args.get("did")?, cancel).await?),
        "TrustGraph.score" => data(graph.score(args.get("peer")?, cancel).await?),
        "TrustGraph.scores" => data(graph.scores(args.get("peers")?, cancel).await?),
        "TrustGraph.policy" => data(graph.policy(cancel).await?),
        "TrustGraph.set_policy" => data(graph.set_policy(args.get("policy")?, cancel).await?),
        "TrustGraph.require" => data(graph.require(args.get("peer")?, args.get("purpose")?, cancel).await?),
        "TrustGraph.revoke" => data(graph.revoke(args.get("credential_id")?, cancel).await?),
        "TrustGraph.suspend" => data(graph.suspend(args.get("credential_id")?, cancel).await?),
        "TrustGraph.reinstate" => data(graph.reinstate(args.get("credential_id")?, cancel).await?),
        "TrustGraph.status" => data(graph.status(args.get("credential")?, cancel).await?),
        "TrustGraph.status_lists" => data(graph.status_lists(cancel).await?),
        "TrustGraph.status_list" => data(graph.status_list(args.get("url")?, cancel).await?),
        "TrustGraph.keep_status_list" => data(graph.keep_status_list(args.get("list")?, cancel).await?),
        "TrustGraph.wanted_status_lists" => data(graph.wanted_status_lists(cancel).await?),
        "TrustGraph.export_credentials" => data(graph.export_credentials(cancel).await?),
        "TrustGraph.import_credentials" => data(graph.import_credentials(args.get("bundle")?, cancel).await?),
        "TrustGraph.set_passphrase" => data(graph.set_passphrase(args.get("passphrase")?, cancel).await?),
        "TrustGraph.remove_passphrase" => data(graph.remove_passphrase(cancel).await?),
        "TrustGraph.unlock" => data(graph.unlock(args.get("passphrase")?, cancel).await?),
        "TrustGraph.lock" => data(graph.lock(cancel).await?),
        "TrustGraph.wallet_state" => data(graph.wallet_state(cancel).await?),
        "TrustGraph.request_pledge" => {
            data(graph.request_pledge(args.get("issuer")?, args.get("text")?, args.get("name")?, cancel).await?)
        }
        "TrustGraph.issue_pledge" => {
            let (request, text, name) = (args.get("request")?, args.get("text")?, args.get("name")?);
            data(graph.issue_pledge(request, text, name, args.get("valid_for_ms")?, cancel).await?)
        }
        "TrustGraph.accept_pledge" => {
            data(graph.accept_pledge(args.get("credential")?, args.get("text")?, args.get("name")?, cancel).await?)
        }
        "TrustGraph.withdraw_pledge" => data(graph.withdraw_pledge(args.get("credential_id")?, cancel).await?),
        "TrustGraph.import_withdrawal" => data(graph.import_withdrawal(args.get("withdrawal")?, cancel).await?),
        "TrustGraph.withdrawals" => data(graph.withdrawals(cancel).await?),
        "TrustGraph.pledge_to_revoke" => data(graph.pledge_to_revoke(args.get("withdrawal")?, cancel).await?),
        "TrustGraph.disclosures" => data(graph.disclosures(cancel).await?),
        "TrustGraph.set_disclosures" => data(graph.set_disclosures(args.get("disclosures")?, cancel).await?),
        "TrustGraph.thresholds" => data(graph.thresholds(cancel).await?),
        "TrustGraph.set_thresholds" => data(graph.set_thresholds(args.get("thresholds")?, cancel).await?),
        "TrustGraph.record" => {
            let measured = args.record(&["peer", "outcome"])?;
            data(graph.record(args.get("peer")?, args.get("outcome")?, measured, cancel).await?)
        }
        "TrustGraph.reputation" => data(graph.reputation(args.get("peer")?, cancel).await?),
        "TrustGraph.reputations" => data(graph.reputations(cancel).await?),
        "TrustGraph.add_recommendation" => {
            let (recommender, about, at) = (args.get("recommender")?, args.get("about")?, args.get("at")?);
            data(graph.add_recommendation(recommender, about, args.get("good")?, args.get("bad")?, at, cancel).await?)
        }
        "TrustGraph.propagate" => data(graph.propagate(args.record(&[])?, cancel).await?),
        "TrustGraph.flush" => data(graph.flush(cancel).await?),
        "TrustGraph.tests" => data(graph.tests(args.get("credential_id")?, cancel).await?),
        "TrustGraph.sight" => data(graph.sight(args.get("peer")?, args.get("up")?, cancel).await?),
        "TrustGraph.sightings" => data(graph.sightings(args.get("peer")?, cancel).await?),
        "TrustGraph.issue_uptime" => {
            data(graph.issue_uptime(args.get("peer")?, args.get("valid_for_ms")?, cancel).await?)
        }
        "TrustGraph.issue_binding" => {
            let (subject, link_type) = (args.get("subject")?, args.get("link_type")?);
            data(graph.issue_binding(subject, link_type, args.get("valid_for_ms")?, cancel).await?)
        }
        "TrustGraph.bindings" => data(graph.bindings(args.get("did")?, cancel).await?),
        "TrustGraph.reset_reputation" => data(graph.reset_reputation(args.get("peer")?, cancel).await?),
        "TrustGraph.present" => {
            let filter = args.record::<Filter>(&["audience", "challenge"])?;
            data(graph.present(args.get("audience")?, args.get("challenge")?, filter, cancel).await?)
        }
        "TrustGraph.verify_presentation" => {
            let (presentation, audience) = (args.get("presentation")?, args.get("audience")?);
            data(graph.verify_presentation(presentation, audience, args.get("challenge")?, cancel).await?)
        }
        "TrustGraph.advance_clock" => data(graph.advance_clock(args.get("by_ms")?)?),
        "TrustGraph.shutdown" => data(graph.shutdown()),
        _ => unknown(name),
    }
}

fn blocks(args: &Arguments) -> Result<BlockChoice> {
    match args.data.get("blocks") {
        Some(Value::Array(_)) => {
            let (start, end) = args.get("blocks")?;
            Ok(BlockChoice::Span(start, end))
        }
        Some(_) => args.get("blocks"),
        None => Ok(BlockChoice::All),
    }
}

async fn on_shards(name: &str, engine: &ShardEngine, args: Arguments, cancel: CancelToken) -> Result<Answer> {
    match name {
        "ShardEngine.load" => {
            object(Object::Model(Arc::new(engine.load(args.get("model")?, blocks(&args)?, cancel).await?)))
        }
        "ShardEngine.download" => Ok(stream(engine.download(args.get("model")?, blocks(&args)?, cancel).await?)),
        "ShardEngine.downloaded" => data(engine.downloaded(cancel).await?),
        "ShardEngine.remove_download" => data(engine.remove_download(args.get("model")?, cancel).await?),
        "ShardEngine.serve" => {
            let (start, end) = (args.get("start_block")?, args.get("end_block")?);
            data(engine.serve(args.get("model")?, start, end, cancel).await?)
        }
        "ShardEngine.stop_serving" => data(engine.stop_serving(args.get("model_id")?, cancel).await?),
        "ShardEngine.served" => data(engine.served(cancel).await?),
        "ShardEngine.coverage" => {
            let model = args.model("model")?;
            data(engine.coverage(&model, cancel).await?)
        }
        "ShardEngine.calibrate" => data(engine.calibrate(args.get("model")?, args.record(&["model"])?, cancel).await?),
        "ShardEngine.benchmark" => {
            let model = args.model("model")?;
            data(engine.benchmark(&model, args.record(&["model"])?, cancel).await?)
        }
        "ShardEngine.chat" => {
            let mut request = args.data.clone();
            request.remove("route");
            if let Some(Value::String(text)) = request.get("messages") {
                let turn = json!([{"role": "user", "content": text}]);
                request.insert("messages".into(), turn);
            }
            let request = from_json("", &Value::Object(request).to_string(), Spelling::Snake)?;
            let model = args.model("model")?;
            Ok(stream(engine.generate(&model, request, args.get("route")?, cancel).await?))
        }
        "ShardEngine.logits" => {
            let model = args.model("model")?;
            data(engine.logits(&model, args.get("tokens")?, args.get("route")?, cancel).await?)
        }
        "ShardEngine.embed" => {
            let query: Option<bool> = args.get("query")?;
            let (texts, model) = (args.get("texts")?, args.get("model")?);
            data(engine.embed(texts, model, query.unwrap_or(false), cancel).await?)
        }
        "ShardEngine.shutdown" => data(engine.shutdown()),
        _ => unknown(name),
    }
}

async fn on_rag(name: &str, rag: &Rag, args: Arguments, cancel: CancelToken) -> Result<Answer> {
    match name {
        "Rag.ingest" => match args.data.get("source").and_then(|source| source.get("$base64")) {
            Some(text) => {
                let bytes = base64(text.as_str().unwrap_or_default());
                let name: Option<String> = args.get("name")?;
                let options = args.record(&["source", "name"])?;
                Ok(stream(rag.ingest_bytes(name.unwrap_or_default(), bytes, options, cancel).await?))
            }
            None => {
                let options = args.record(&["source"])?;
                Ok(stream(rag.ingest_path(args.get("source")?, options, cancel).await?))
            }
        },
        "Rag.sync" => {
            let options: SyncOptions = args.record(&["folder"])?;
            Ok(stream(rag.sync(args.get("folder")?, options, cancel).await?))
        }
        "Rag.reembed" => Ok(stream(rag.reembed(args.get("embedder")?, args.supplies()?, cancel).await?)),
        "Rag.outsource" => match args.object("collection") {
            Some(Object::Collection(collection)) => {
                let texts: Option<bool> = args.get("texts")?;
                Ok(stream(rag.outsource(collection, texts.unwrap_or(false), cancel).await?))
            }
            _ => Err(Error::invalid_argument("collection is no collection of vectors").into()),
        },
        "Rag.search" => {
            let k: Option<usize> = args.get("k")?;
            let options: SearchOptions = args.record(&["text", "k"])?;
            data(rag.search(args.get("text")?, k.unwrap_or(8), options, cancel).await?)
        }
        "Rag.ask" => {
            let options: AskOptions = args.record(&["question"])?;
            Ok(stream(rag.ask(args.get("question")?, options, cancel).await?))
        }
        "Rag.calibrate" => {
            let questions: Option<Vec<CalibrationQuestion>> = args.get("questions")?;
            let options: AskOptions = args.record(&["questions"])?;
            data(rag.calibrate(questions.unwrap_or_default(), options, cancel).await?)
        }
        "Rag.evaluate" => {
            let questions: Vec<EvaluationQuestion> = args.get("questions")?;
            let writer = match args.objects.get("judge") {
                Some(Object::Writer(writer)) => Some(writer.clone()),
                _ => None,
            };
            let supplies = Supplies { writer, ..Supplies::default() };
            let options = args.record(&["questions", "judge"])?;
            data(rag.evaluate(questions, options, supplies, cancel).await?)
        }
        "Rag.cache_stats" => data(rag.cache_stats(cancel).await?),
        "Rag.cache_clear" => data(rag.cache_clear(cancel).await?),
        "Rag.documents" => data(rag.documents(cancel).await?),
        "Rag.document_text" => data(rag.document_text(args.get("id")?, cancel).await?),
        "Rag.delete_document" => data(rag.delete_document(args.get("id")?, cancel).await?),
        "Rag.stats" => data(rag.stats(cancel).await?),
        "Rag.id" => data(rag.id(cancel).await?),
        "Rag.revoke_share" => data(rag.revoke_share(args.get("capability_id")?, cancel).await?),
        "Rag.serve" => {
            let server = rag.serve(args.get("name")?, args.record(&["name"])?, cancel).await?;
            object(Object::HttpServer(Arc::new(server)))
        }
        "Rag.shutdown" => data(rag.shutdown(cancel).await?),
        "Rag.destroy" => data(rag.destroy(cancel).await?),
        _ => unknown(name),
    }
}

async fn on_stream(
    name: &str,
    stream: Arc<dyn JsonStream>,
    ready: &Mutex<VecDeque<Value>>,
    cancel: CancelToken,
) -> Result<Answer> {
    let taken = || ready.lock().expect("no reader panics").pop_front();
    let read = async || -> Result<Option<Value>> {
        if let Some(value) = taken() {
            return Ok(Some(value));
        }
        let values = stream.clone().next_json(256, cancel.clone()).await?.into_iter().map(|item| match item {
            Item::Value(value) => value,
            Item::Lagged { missed } => json!({ "missed": missed }),
        });
        ready.lock().expect("no reader panics").extend(values);
        Ok(taken())
    };
    match name {
        "Stream.next" => data(read().await?),
        "Stream.collect" => {
            let mut values = Vec::new();
            while let Some(value) = read().await? {
                values.push(value);
            }
            data(values)
        }
        "Stream.cancel" => data(stream.stop()),
        _ => unknown(name),
    }
}

pub fn base64(text: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits =
            group.iter().fold(0_u32, |bits, letter| bits << 6 | u32::from(value(*letter))) << (6 * (4 - group.len()));
        bytes.extend(bits.to_be_bytes()[1..].iter().take(group.len() - 1));
    }
    bytes
}
