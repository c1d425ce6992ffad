//! Search by words: a tantivy index, derived from the database and rebuilt from it whenever it does not match.
//!
//! Ranked by BM25 with k1 = 1.2 and b = 0.75. What is searched for is cut into terms like any other text; nothing in it is syntax.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tantivy::collector::TopDocs;
use tantivy::indexer::NoMergePolicy;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, TantivyError};

use crate::rag::terms::{Analyzer, Language};
use crate::store::create_private_dir;
use crate::{Error, ErrorCode, Result};

/// Part of every commit; an index of another version is rebuilt.
const VERSION: u32 = 1;
const TOKENIZER: &str = "kwaainet";
const MEMORY: usize = 32 << 20;
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
}

#[derive(Clone, Copy)]
struct Fields {
    document: Field,
    chunk: Field,
    text: Field,
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
    /// in a score.
    pub fn update<'e>(
        &self,
        generation: u64,
        remove: impl IntoIterator<Item = &'e str>,
        add: impl IntoIterator<Item = Entry<'e>>,
    ) -> Result<()> {
        self.write(generation, |writer| {
            for document in remove {
                writer.delete_term(tantivy::Term::from_field_text(self.fields.document, document));
            }
            self.add(writer, add)
        })
    }

    /// Replaces everything in one commit that carries the generation.
    pub fn rebuild<'e>(&self, generation: u64, all: impl IntoIterator<Item = Entry<'e>>) -> Result<()> {
        self.write(generation, |writer| {
            writer.delete_all_documents()?;
            self.add(writer, all)
        })
    }

    fn add<'e>(&self, writer: &IndexWriter, entries: impl IntoIterator<Item = Entry<'e>>) -> tantivy::Result<()> {
        for entry in entries {
            let mut document = TantivyDocument::new();
            document.add_text(self.fields.document, entry.document);
            document.add_u64(self.fields.chunk, entry.chunk);
            document.add_text(self.fields.text, entry.text);
            writer.add_document(document)?;
        }
        Ok(())
    }

    fn write(&self, generation: u64, work: impl FnOnce(&IndexWriter) -> tantivy::Result<()>) -> Result<()> {
        let payload = Payload { version: VERSION, owner: self.owner.clone(), language: self.language, generation };
        let payload = serde_json::to_string(&payload)
            .map_err(|error| Error::internal("an index commit could not be described").with_source(error))?;
        let write = || -> tantivy::Result<()> {
            // One thread, so that passages keep their order; the writer's threads live no longer than the commit.
            let mut writer: IndexWriter = self.index.writer_with_num_threads(1, MEMORY)?;
            writer.set_merge_policy(Box::new(NoMergePolicy));
            work(&writer)?;
            let mut commit = writer.prepare_commit()?;
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

    /// The `k` best passages and their scores, best first, equal scores by chunk.
    pub fn search(&self, text: &str, k: usize) -> Result<Vec<(u64, f32)>> {
        if k == 0 {
            return Ok(Vec::new());
        }
        let mut counts: Vec<(String, u32)> = Vec::new();
        for term in self.analyzer.terms(text) {
            match counts.iter_mut().find(|(text, _)| *text == term.text) {
                Some((_, count)) => *count += 1,
                None => counts.push((term.text, 1)),
            }
        }
        let clauses: Vec<(Occur, Box<dyn Query>)> = counts
            .into_iter()
            .map(|(text, count)| {
                let term = tantivy::Term::from_field_text(self.fields.text, &text);
                let query = Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
                (Occur::Should, Box::new(BoostQuery::new(query, count as f32)) as Box<dyn Query>)
            })
            .collect();
        let search = || -> tantivy::Result<Vec<(u64, f32)>> {
            let searcher = self.reader.searcher();
            if clauses.is_empty() || searcher.num_docs() == 0 {
                return Ok(Vec::new());
            }
            let limit = k.saturating_add(32).min(searcher.num_docs() as usize);
            let top = searcher.search(&BooleanQuery::new(clauses), &TopDocs::with_limit(limit).order_by_score())?;
            top.into_iter()
                .map(|(score, address)| {
                    let chunks = searcher.segment_reader(address.segment_ord).fast_fields().u64("chunk")?;
                    Ok((chunks.first(address.doc_id).unwrap_or_default(), score))
                })
                .collect()
        };
        let mut found = search().map_err(|error| failed(&self.dir, error))?;
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(k);
        Ok(found)
    }

    /// In how many passages each of the terms stands, and how many passages there are.
    pub fn frequencies<'t>(&self, terms: impl IntoIterator<Item = &'t str>) -> Result<(Vec<u64>, u64)> {
        let searcher = self.reader.searcher();
        let frequency = |term| searcher.doc_freq(&tantivy::Term::from_field_text(self.fields.text, term));
        let frequencies = terms.into_iter().map(frequency).collect::<tantivy::Result<Vec<u64>>>();
        Ok((frequencies.map_err(|error| failed(&self.dir, error))?, searcher.num_docs()))
    }
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
