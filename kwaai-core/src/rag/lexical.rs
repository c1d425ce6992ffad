//! Search by words: a tantivy index, derived from the database and rebuilt from it whenever it does not match.
//!
//! Ranked by BM25 with k1 = 1.2 and b = 0.75. What is searched for is cut into terms like any other text; nothing in it is syntax.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tantivy::collector::TopDocs;
use tantivy::indexer::NoMergePolicy;
use tantivy::query::{BooleanQuery, BoostQuery, EnableScoring, Occur, Query, TermQuery, TermSetQuery};
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions};
use tantivy::{
    DocSet, Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, TERMINATED, TantivyDocument, TantivyError,
};

use crate::rag::names::{Name, NameKind};
use crate::rag::terms::{Analyzer, Language};
use crate::store::create_private_dir;
use crate::{Error, ErrorCode, Result};

/// Part of every commit; an index of another version is rebuilt.
const VERSION: u32 = 2;
const TOKENIZER: &str = "kwaainet";
const MEMORY: usize = 32 << 20;
/// How much more often a word may stand in a passage before it stops counting; tantivy's value.
pub(super) const K1: f64 = 1.2;
/// How much the length of a passage counts; tantivy's value.
pub(super) const B: f64 = 0.75;
/// So many segments of about one size are merged into one.
const SEGMENTS_PER_TIER: usize = 8;

/// What a commit says about itself.
#[derive(Serialize, Deserialize)]
struct Payload {
    version: u32,
    /// Which knowledge base it belongs to.
    owner: String,
    language: Language,
    generation: u64,
}

/// A passage to index.
pub(crate) struct Entry<'a> {
    pub document: &'a str,
    pub chunk: u64,
    pub text: &'a str,
    /// What its document is called, where this is the first passage of one.
    pub names: &'a [Name],
}

#[derive(Clone, Copy)]
struct Fields {
    document: Field,
    chunk: Field,
    text: Field,
    title: Field,
    lead: Field,
}

/// The terms that are looked for, and how much each counts: as often as it stands in the question.
pub(crate) type Wanted = BTreeMap<String, f64>;

/// The passages that a search by words found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Passages and their BM25 scores, best first, equal scores by passage.
    pub ranking: Vec<(u64, f32)>,
    /// The score of a passage that had every word of the query as often as could count; above 0.
    pub highest: f64,
}

/// The word index of a knowledge base. All of it blocks.
pub(crate) struct Lexical {
    dir: PathBuf,
    owner: String,
    language: Language,
    analyzer: Analyzer,
    fields: Fields,
    index: Index,
    reader: IndexReader,
}

impl Lexical {
    /// Opens the index of a knowledge base, or starts an empty one where there is none that this version can use.
    pub fn open(dir: &Path, owner: &str, language: Language) -> Result<Lexical> {
        let existing = Index::open_in_dir(dir).and_then(|index| {
            let sound = index.validate_checksum()?.is_empty() && index.schema() == schema().0;
            if sound { Ok(index) } else { Err(TantivyError::InternalError("the index is damaged".into())) }
        });
        if let Ok(index) = existing
            && let Ok(lexical) = Lexical::with(dir, owner, language, index)
        {
            return Ok(lexical);
        }
        Lexical::create(dir, owner, language)
    }

    fn create(dir: &Path, owner: &str, language: Language) -> Result<Lexical> {
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::file("empty", dir, error)),
            _ => {}
        }
        create_private_dir(dir)?;
        let index = Index::create_in_dir(dir, schema().0).map_err(|error| failed(dir, error))?;
        Lexical::with(dir, owner, language, index)
    }

    fn with(dir: &Path, owner: &str, language: Language, index: Index) -> Result<Lexical> {
        let analyzer = Analyzer::new(language);
        index.tokenizers().register(TOKENIZER, analyzer.tantivy());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual);
        let reader = reader.try_into().map_err(|error| failed(dir, error))?;
        Ok(Lexical {
            dir: dir.to_owned(),
            owner: owner.to_owned(),
            language,
            analyzer,
            fields: schema().1,
            index,
            reader,
        })
    }

    /// The generation of the database that the last commit reflects; `None` when it says nothing usable.
    pub fn generation(&self) -> Option<u64> {
        let payload: Payload = serde_json::from_str(&self.index.load_metas().ok()?.payload?).ok()?;
        let ours = payload.version == VERSION && payload.owner == self.owner && payload.language == self.language;
        ours.then_some(payload.generation)
    }

    /// How many passages are indexed.
    pub fn len(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    pub fn analyzer(&self) -> &Analyzer {
        &self.analyzer
    }

    /// Removes documents and adds passages in one commit that carries the generation.
    ///
    /// Segments with deletions are rewritten at once, so that no term of a deleted document stays on the disk or counts
    /// in a score. Everything is ready to be committed when it asks whether it `may`; nothing is changed where it may not.
    pub fn update<'e>(
        &self,
        generation: u64,
        remove: impl IntoIterator<Item = &'e str>,
        add: impl IntoIterator<Item = Entry<'e>>,
        may: impl FnOnce() -> bool,
    ) -> Result<()> {
        self.write(generation, may, |writer| {
            for document in remove {
                writer.delete_term(tantivy::Term::from_field_text(self.fields.document, document));
            }
            self.add(writer, add)
        })
    }

    /// Replaces everything in one commit that carries the generation.
    pub fn rebuild<'e>(&self, generation: u64, all: impl IntoIterator<Item = Entry<'e>>) -> Result<()> {
        self.write(
            generation,
            || true,
            |writer| {
                writer.delete_all_documents()?;
                self.add(writer, all)
            },
        )
    }

    fn add<'e>(&self, writer: &IndexWriter, entries: impl IntoIterator<Item = Entry<'e>>) -> tantivy::Result<()> {
        for entry in entries {
            let mut document = TantivyDocument::new();
            document.add_text(self.fields.document, entry.document);
            document.add_u64(self.fields.chunk, entry.chunk);
            document.add_text(self.fields.text, entry.text);
            for name in entry.names {
                document.add_text(self.name_field(name.kind), &name.text);
            }
            writer.add_document(document)?;
        }
        Ok(())
    }

    fn write(
        &self,
        generation: u64,
        may: impl FnOnce() -> bool,
        work: impl FnOnce(&IndexWriter) -> tantivy::Result<()>,
    ) -> Result<()> {
        let payload = Payload { version: VERSION, owner: self.owner.clone(), language: self.language, generation };
        let payload = serde_json::to_string(&payload)
            .map_err(|error| Error::internal("an index commit could not be described").with_source(error))?;
        let write = || -> tantivy::Result<()> {
            // One thread, so that passages keep their order; the writer's threads live no longer than the commit.
            let mut writer: IndexWriter = self.index.writer_with_num_threads(1, MEMORY)?;
            writer.set_merge_policy(Box::new(NoMergePolicy));
            // A commit that a crash or a full disk cut short leaves files behind, and the next one names its own alike.
            writer.garbage_collect_files().wait()?;
            work(&writer)?;
            let mut commit = writer.prepare_commit()?;
            if !may() {
                return commit.abort().map(drop);
            }
            commit.set_payload(&payload);
            commit.commit()?;
            while let Some(segments) = self.segments_to_merge()? {
                writer.merge(&segments).wait()?;
            }
            writer.garbage_collect_files().wait()?;
            writer.wait_merging_threads()?;
            self.reader.reload()
        };
        write().map_err(|error| failed(&self.dir, error))
    }

    fn segments_to_merge(&self) -> tantivy::Result<Option<Vec<tantivy::index::SegmentId>>> {
        let metas = self.index.searchable_segment_metas()?;
        if let Some(meta) = metas.iter().find(|meta| meta.has_deletes()) {
            return Ok(Some(vec![meta.id()]));
        }
        let tier = |documents: u32| (documents / 64).max(1).ilog(SEGMENTS_PER_TIER as u32);
        for wanted in 0..=tier(u32::MAX) {
            let mut of_tier: Vec<_> = metas.iter().filter(|meta| tier(meta.max_doc()) == wanted).collect();
            if of_tier.len() >= SEGMENTS_PER_TIER {
                of_tier.sort_by_key(|meta| meta.id());
                return Ok(Some(of_tier.iter().map(|meta| meta.id()).collect()));
            }
        }
        Ok(None)
    }

    /// What to look for, from a text.
    pub fn wanted(&self, text: &str) -> Wanted {
        self.analyzer.counted(text)
    }

    /// The `k` best passages, of these documents alone where some are given.
    pub fn search(&self, wanted: &Wanted, k: usize, documents: Option<&[String]>) -> Result<Found> {
        let search = || -> tantivy::Result<Found> {
            let searcher = self.reader.searcher();
            let highest = self.highest(&searcher, wanted)?;
            if k == 0 || wanted.is_empty() || searcher.num_docs() == 0 {
                return Ok(Found { ranking: Vec::new(), highest });
            }
            let mut clauses = self.clauses(wanted);
            if let Some(documents) = documents {
                let ids = documents.iter().map(|id| tantivy::Term::from_field_text(self.fields.document, id));
                // What is looked through adds nothing to a score.
                clauses.push((Occur::Must, Box::new(BoostQuery::new(Box::new(TermSetQuery::new(ids)), 0.0))));
            }
            let limit = k.saturating_add(32).min(searcher.num_docs() as usize);
            let top = searcher.search(&BooleanQuery::new(clauses), &TopDocs::with_limit(limit).order_by_score())?;
            let mut ranking = Vec::with_capacity(top.len());
            for (score, address) in top.into_iter().filter(|(score, _)| *score > 0.0) {
                let chunks = searcher.segment_reader(address.segment_ord).fast_fields().u64("chunk")?;
                ranking.push((chunks.first(address.doc_id).unwrap_or_default(), score));
            }
            ranking.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            ranking.truncate(k);
            Ok(Found { ranking, highest })
        };
        search().map_err(|error| failed(&self.dir, error))
    }

    /// The BM25 scores of these passages, 0 for those without a word of the query.
    pub fn scores(&self, wanted: &Wanted, chunks: &[u64]) -> Result<BTreeMap<u64, f32>> {
        let score = || -> tantivy::Result<BTreeMap<u64, f32>> {
            let searcher = self.reader.searcher();
            let mut scores: BTreeMap<u64, f32> = chunks.iter().map(|chunk| (*chunk, 0.0)).collect();
            if wanted.is_empty() || chunks.is_empty() {
                return Ok(scores);
            }
            let query = BooleanQuery::new(self.clauses(wanted));
            let weight = query.weight(EnableScoring::enabled_from_searcher(&searcher))?;
            for segment in searcher.segment_readers() {
                let index = segment.inverted_index(self.fields.chunk)?;
                let mut places: Vec<(u32, u64)> = Vec::new();
                for chunk in scores.keys() {
                    let term = tantivy::Term::from_field_u64(self.fields.chunk, *chunk);
                    let postings = index.read_postings(&term, IndexRecordOption::Basic)?;
                    places.extend(
                        postings
                            .map(|postings| postings.doc())
                            .filter(|doc| *doc != TERMINATED)
                            .map(|doc| (doc, *chunk)),
                    );
                }
                // A scorer goes forward alone.
                places.sort_unstable();
                let mut scorer = weight.scorer(segment, 1.0)?;
                for (doc, chunk) in places {
                    let at = if scorer.doc() < doc { scorer.seek(doc) } else { scorer.doc() };
                    if at == doc {
                        scores.insert(chunk, scorer.score());
                    }
                }
            }
            Ok(scores)
        };
        score().map_err(|error| failed(&self.dir, error))
    }

    /// The BM25 score that a text would have which is not indexed.
    pub fn score_of(&self, wanted: &Wanted, text: &str) -> Result<f64> {
        let score = || -> tantivy::Result<f64> {
            let searcher = self.reader.searcher();
            let own = self.wanted(text);
            let average = self.tokens(&searcher)? as f64 / (searcher.num_docs() as f64).max(1.0);
            let length: f64 = own.values().sum();
            let norm = K1 * (1.0 - B + B * length / average.max(1.0));
            let mut score = 0.0;
            for (term, weight) in wanted {
                let Some(times) = own.get(term) else { continue };
                score += weight * self.rarity(&searcher, term)? * times * (K1 + 1.0) / (times + norm);
            }
            Ok(score)
        };
        score().map_err(|error| failed(&self.dir, error))
    }

    /// How many words all passages have together.
    pub fn words(&self) -> Result<u64> {
        self.tokens(&self.reader.searcher()).map_err(|error| failed(&self.dir, error))
    }

    fn tokens(&self, searcher: &Searcher) -> tantivy::Result<u64> {
        let mut tokens = 0;
        for segment in searcher.segment_readers() {
            tokens += segment.inverted_index(self.fields.text)?.total_num_tokens();
        }
        Ok(tokens)
    }

    /// The first passages of the documents that are called so, at most `most` and a sign that there are more.
    pub fn called(&self, name: &str, kind: NameKind, most: usize) -> Result<Vec<u64>> {
        let find = || -> tantivy::Result<Vec<u64>> {
            let searcher = self.reader.searcher();
            let mut chunks = Vec::new();
            for segment in searcher.segment_readers() {
                let field = self.name_field(kind);
                let term = tantivy::Term::from_field_text(field, name);
                let index = segment.inverted_index(field)?;
                let Some(mut postings) = index.read_postings(&term, IndexRecordOption::Basic)? else { continue };
                let column = segment.fast_fields().u64("chunk")?;
                while postings.doc() != TERMINATED && chunks.len() <= most {
                    if !segment.is_deleted(postings.doc()) {
                        chunks.extend(column.first(postings.doc()));
                    }
                    postings.advance();
                }
            }
            chunks.sort_unstable();
            Ok(chunks)
        };
        find().map_err(|error| failed(&self.dir, error))
    }

    fn name_field(&self, kind: NameKind) -> Field {
        match kind {
            NameKind::Title => self.fields.title,
            NameKind::Lead => self.fields.lead,
        }
    }

    fn clauses(&self, wanted: &Wanted) -> Vec<(Occur, Box<dyn Query>)> {
        let clause = |(text, weight): (&String, &f64)| {
            let term = tantivy::Term::from_field_text(self.fields.text, text);
            let query = Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
            (Occur::Should, Box::new(BoostQuery::new(query, *weight as f32)) as Box<dyn Query>)
        };
        wanted.iter().map(clause).collect()
    }

    fn highest(&self, searcher: &Searcher, wanted: &Wanted) -> tantivy::Result<f64> {
        let mut highest = 0.0;
        for (text, weight) in wanted {
            highest += weight * self.rarity(searcher, text)? * (K1 + 1.0);
        }
        Ok(highest.max(f64::MIN_POSITIVE))
    }

    /// The inverse document frequency of a term.
    fn rarity(&self, searcher: &Searcher, text: &str) -> tantivy::Result<f64> {
        let passages = searcher.num_docs() as f64;
        let frequency = searcher.doc_freq(&tantivy::Term::from_field_text(self.fields.text, text))? as f64;
        Ok(rarity(passages, frequency))
    }

    /// In how many passages each of the terms stands, and how many passages there are.
    pub fn frequencies<'t>(&self, terms: impl IntoIterator<Item = &'t str>) -> Result<(Vec<u64>, u64)> {
        let searcher = self.reader.searcher();
        let frequency = |term| searcher.doc_freq(&tantivy::Term::from_field_text(self.fields.text, term));
        let frequencies = terms.into_iter().map(frequency).collect::<tantivy::Result<Vec<u64>>>();
        Ok((frequencies.map_err(|error| failed(&self.dir, error))?, searcher.num_docs()))
    }
}

/// The inverse document frequency of a term that stands in so many of the passages.
pub(super) fn rarity(passages: f64, frequency: f64) -> f64 {
    (1.0 + ((passages - frequency).max(0.0) + 0.5) / (frequency + 0.5)).ln()
}

fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_index_option(IndexRecordOption::WithFreqs)
        .set_fieldnorms(true);
    let fields = Fields {
        document: builder.add_text_field("document", STRING),
        chunk: builder.add_u64_field("chunk", FAST | INDEXED),
        text: builder.add_text_field("text", TextOptions::default().set_indexing_options(indexing)),
        title: builder.add_text_field("title", STRING),
        lead: builder.add_text_field("lead", STRING),
    };
    (builder.build(), fields)
}

fn failed(dir: &Path, error: TantivyError) -> Error {
    let code = match &error {
        TantivyError::LockFailure(..) => ErrorCode::Busy,
        TantivyError::IoError(source) => match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorCode::ResourceExhausted,
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                ErrorCode::PermissionDenied
            }
            _ => ErrorCode::Io,
        },
        _ => ErrorCode::CorruptData,
    };
    Error::new(code, format!("the word index in {} failed: {error}", dir.display()))
        .with_file(dir)
        .with_remedy("open the knowledge base again; the index is rebuilt from the database")
        .with_source(error)
}
