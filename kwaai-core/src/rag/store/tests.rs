use super::*;
use crate::ErrorCode;

const EMBEDDER: fn() -> Option<EmbedderInfo> = || Some(EmbedderInfo { id: "test".into(), dimension: 4 });

fn open(dir: &Path) -> KnowledgeStore {
    KnowledgeStore::open(dir, EMBEDDER(), None, IndexOptions::default(), None).unwrap()
}

fn document(name: &str, words: &[&str]) -> NewDocument {
    let id = crate::rag::ingest::document_id(name);
    let mut passages = Vec::new();
    let mut text = String::new();
    for (index, word) in words.iter().enumerate() {
        let start = text.len();
        text.push_str(&format!("about {word}. "));
        let passage = Passage {
            document: id.clone(),
            name: name.to_owned(),
            index,
            range: start..text.len(),
            section: None,
            context: None,
            text: text[start..].to_owned(),
            places: Default::default(),
        };
        passages.push(passage);
    }
    let mut passages = NewPassage::all(&passages).unwrap();
    for (index, (new, word)) in passages.iter_mut().zip(words).enumerate() {
        new.vector = Some(vec![1.0, word.len() as f32, index as f32, 0.5]);
    }
    let info = DocumentInfo {
        id,
        name: name.to_owned(),
        source: None,
        format: Format::Text,
        content_hash: words.join(" "),
        bytes: text.len() as u64,
        chunks: passages.len(),
        warnings: Vec::new(),
        ingested_at_ms: 0,
        metadata: Default::default(),
    };
    NewDocument { info, text, chunking: String::new(), passages, metadata: None }
}

/// Everything that the three parts say, to compare knowledge bases.
fn picture(knowledge: &KnowledgeStore, words: &[&str]) -> String {
    let sizes = knowledge.sizes().unwrap();
    let found: Vec<_> = words
        .iter()
        .map(|word| knowledge.lexical.search(&knowledge.lexical.wanted(word), 10, None).unwrap().ranking)
        .collect();
    let near =
        knowledge.vectors.as_ref().unwrap().search(&[1.0, 3.0, 0.0, 0.5], &crate::vector::Search::best(10)).unwrap();
    let ids: Vec<u64> = near.iter().map(|neighbour| neighbour.id).collect();
    let passages = knowledge.passages(&ids).unwrap();
    assert_eq!(passages.len(), ids.len(), "no vector without its passage");
    assert_eq!((sizes.chunks, sizes.chunks), (knowledge.lexical.len(), sizes.vectors));
    format!("{} {} {:?} {:?}", sizes.documents, sizes.chunks, found, near)
}

const WORDS: &[&str] = &["apple", "pear", "plum", "quince", "medlar"];

#[test]
fn a_crash_between_the_two_commits_is_rolled_forward() {
    let (dir, straight) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = {
        let knowledge = open(straight.path());
        knowledge.commit(vec![document("a.txt", &["apple", "pear"]), document("b.txt", &["plum"])], &[]).unwrap();
        knowledge.commit(vec![document("a.txt", &["quince"])], &[]).unwrap();
        knowledge.commit(vec![document("c.txt", &["medlar"])], &[crate::rag::ingest::document_id("b.txt")]).unwrap();
        picture(&knowledge, WORDS)
    };
    let knowledge = open(dir.path());
    knowledge.commit(vec![document("a.txt", &["apple", "pear"]), document("b.txt", &["plum"])], &[]).unwrap();
    // The database alone, twice, as if the process had died before the word index was committed.
    let _ = knowledge.write(vec![document("a.txt", &["quince"])], &[], drop).unwrap();
    drop(knowledge);
    let knowledge = open(dir.path());
    let _ = knowledge
        .write(vec![document("c.txt", &["medlar"])], &[crate::rag::ingest::document_id("b.txt")], drop)
        .unwrap();
    drop(knowledge);
    assert_eq!(picture(&open(dir.path()), WORDS), expected);
}

#[test]
fn a_lost_damaged_or_foreign_word_index_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let knowledge = open(dir.path());
    for (index, word) in WORDS.iter().enumerate() {
        knowledge.commit(vec![document(&format!("{index}.txt"), &[word])], &[]).unwrap();
    }
    let expected = picture(&knowledge, WORDS);
    drop(knowledge);
    let lexical = dir.path().join(LEXICAL_DIR);
    let damage: [&dyn Fn(); 4] = [
        &|| std::fs::remove_dir_all(&lexical).unwrap(),
        &|| std::fs::write(lexical.join("meta.json"), "{").unwrap(),
        &|| {
            for entry in std::fs::read_dir(&lexical).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.extension().is_some_and(|extension| extension == "idx" || extension == "term") {
                    let mut bytes = std::fs::read(&entry).unwrap();
                    bytes[0] ^= 255;
                    std::fs::write(&entry, bytes).unwrap();
                }
            }
        },
        &|| {
            // An index of another knowledge base, of the same generation and with as many passages.
            let other = tempfile::tempdir().unwrap();
            let knowledge = open(other.path());
            for name in ["one", "two", "three", "four", "five"] {
                knowledge.commit(vec![document(name, &[name])], &[]).unwrap();
            }
            drop(knowledge);
            std::fs::remove_dir_all(&lexical).unwrap();
            std::fs::rename(other.path().join(LEXICAL_DIR), &lexical).unwrap();
        },
    ];
    for damage in damage {
        damage();
        assert_eq!(picture(&open(dir.path()), WORDS), expected);
    }
}

#[test]
fn what_a_commit_of_the_word_index_left_when_it_was_cut_short_is_cleared_away() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, gone) = (document("a.txt", &["apple", "pear"]), document("b.txt", &["plum"]));
    let id = gone.info.id.clone();
    let knowledge = open(dir.path());
    knowledge.commit(vec![kept, gone], &[]).unwrap();
    let _ = knowledge.write(Vec::new(), std::slice::from_ref(&id), drop).unwrap();
    drop(knowledge);
    // The process dies where the deletions are written, and the commit that would name them is not.
    let lexical = dir.path().join(LEXICAL_DIR);
    let before = std::fs::read(lexical.join("meta.json")).unwrap();
    let index = tantivy::Index::open_in_dir(&lexical).unwrap();
    let field = index.schema().get_field("document").unwrap();
    let mut writer: tantivy::IndexWriter = index.writer_with_num_threads(1, 32 << 20).unwrap();
    writer.set_merge_policy(Box::new(tantivy::indexer::NoMergePolicy));
    writer.delete_term(tantivy::Term::from_field_text(field, &id));
    writer.commit().unwrap();
    writer.wait_merging_threads().unwrap();
    drop(index);
    std::fs::write(lexical.join("meta.json"), before).unwrap();
    let left = || std::fs::read_dir(&lexical).unwrap().map(|entry| entry.unwrap().path());
    assert!(left().any(|path| path.extension().is_some_and(|extension| extension == "del")));

    let knowledge = open(dir.path());
    assert!(knowledge.lexical.search(&knowledge.lexical.wanted("plum"), 5, None).unwrap().ranking.is_empty());
    assert_eq!(knowledge.lexical.search(&knowledge.lexical.wanted("pear"), 5, None).unwrap().ranking.len(), 1);
    assert!(left().all(|path| path.extension().is_none_or(|extension| extension != "del")));
}

#[test]
fn deleting_leaves_no_word_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let knowledge = open(dir.path());
    knowledge.commit(vec![document("a.txt", &["xylophone"]), document("b.txt", &["plum"])], &[]).unwrap();
    knowledge.commit(Vec::new(), &[crate::rag::ingest::document_id("a.txt")]).unwrap();
    assert_eq!(knowledge.lexical.frequencies(["xylophon"]).unwrap(), (vec![0], 1));
    for entry in std::fs::read_dir(dir.path().join(LEXICAL_DIR)).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"xylophon"));
    }
    assert_eq!(knowledge.sizes().unwrap().vectors, 1);
}

#[test]
fn another_embedder_is_a_conflict_that_names_the_first() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let other = Some(EmbedderInfo { id: "other".into(), dimension: 4 });
    let error = KnowledgeStore::open(dir.path(), other, None, IndexOptions::default(), None).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Conflict);
    assert!(error.context()["remedy"].contains("test"));
    drop(open(dir.path()));
}

#[test]
fn another_language_rebuilds_the_word_index_and_none_is_that_of_before() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).commit(vec![document("a.txt", &["answering"])], &[]).unwrap();
    let found = |language| {
        let opened = KnowledgeStore::open(dir.path(), EMBEDDER(), language, IndexOptions::default(), None).unwrap();
        opened.lexical.search(&opened.lexical.wanted("answers"), 5, None).unwrap().ranking.len()
    };
    assert_eq!((found(Some(Language::French)), found(None)), (0, 0));
    assert_eq!((found(Some(Language::English)), found(None)), (1, 1));
}

#[test]
fn transactions_that_are_indexed_out_of_order_are_all_found() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let put = |knowledge: &KnowledgeStore, name, words: &[&str]| {
        let mut told = None;
        knowledge.put(vec![document(name, words)], &[], |news| told = Some(news)).unwrap();
        told.unwrap()
    };
    let knowledge = open(one.path());
    let first = put(&knowledge, "a.txt", &["apple", "pear"]);
    let second = put(&knowledge, "b.txt", &["plum"]);
    let third = put(&knowledge, "a.txt", &["quince"]);
    for news in [second, third, first] {
        knowledge.follow(news, || true).unwrap();
    }
    let in_order = open(other.path());
    for (name, words) in [("a.txt", &["apple", "pear"][..]), ("b.txt", &["plum"]), ("a.txt", &["quince"])] {
        in_order.commit(vec![document(name, words)], &[]).unwrap();
    }
    assert_eq!(picture(&knowledge, WORDS), picture(&in_order, WORDS));
}

#[test]
fn what_was_stored_before_documents_were_described_opens_and_the_record_is_as_written_here() {
    let dir = tempfile::tempdir().unwrap();
    let id = crate::rag::ingest::document_id("a.txt");
    let said = Metadata::from([("team".to_owned(), "red".to_owned())]);
    {
        let knowledge = open(dir.path());
        let described = NewDocument { metadata: Some(said.clone()), ..document("a.txt", &["apple"]) };
        knowledge.commit(vec![described, document("b.txt", &["pear"])], &[]).unwrap();
        let record = |transaction: &ReadTransaction| {
            Ok(transaction.open_table(METADATA)?.get(id.as_str())?.map(|value| value.value().to_vec()))
        };
        assert_eq!(knowledge.store.read(record).unwrap().as_deref(), Some(&br#"{"team":"red"}"#[..]));
        assert_eq!(knowledge.document(&id).unwrap().unwrap().metadata, said);
        knowledge
            .store
            .write(|transaction| {
                transaction.delete_table(METADATA)?;
                let mut documents = transaction.open_table(DOCUMENTS)?;
                let mut old: serde_json::Value = decode(documents.get(id.as_str())?.unwrap().value())?;
                assert!(old["info"].as_object_mut().unwrap().remove("metadata").is_some());
                documents.insert(id.as_str(), encode(&old)?.as_slice())?;
                Ok(())
            })
            .unwrap();
    }
    let knowledge = open(dir.path());
    assert!(knowledge.documents().unwrap().iter().all(|document| document.metadata.is_empty()));
    knowledge.describe(&[id.clone(), "unknown".into()], &said).unwrap();
    assert_eq!(knowledge.document(&id).unwrap().unwrap().metadata, said);
    assert_eq!(knowledge.lexical.generation(), Some(knowledge.sizes().unwrap().generation));
}

#[test]
fn vectors_that_a_reader_kept_on_the_disk_are_overwritten_when_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut new = document("a.txt", &["apple"]);
    new.passages[0].vector = Some(vec![0.125, 0.75, -0.5, 0.4]);
    let knowledge = open(dir.path());
    knowledge.commit(vec![new], &[]).unwrap();
    let vector = Metric::Cosine.prepare(vec![0.125, 0.75, -0.5, 0.4], 4).unwrap();
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    let holds = || {
        let file = std::fs::read(dir.path().join("kwaainet.redb")).unwrap();
        file.windows(bytes.len()).any(|window| window == bytes)
    };
    assert!(holds());
    knowledge.begin_away("elsewhere", false).unwrap();
    let told: Vec<u64> = knowledge.waiting(10).unwrap().put.iter().map(|(id, _)| *id).collect();
    knowledge.told(&told, &[]).unwrap();
    let away = knowledge.send_away().unwrap();
    let store = knowledge.store.clone();
    let collection = knowledge.collection().to_owned();
    drop(knowledge);
    store
        .read(|_| {
            away.forget_retired(&collection)?;
            away.wipe()?;
            assert!(holds(), "somebody reads from the state of before");
            assert!(!away.standing_away()?.unwrap().clean);
            Ok(())
        })
        .unwrap();
    drop((away, store));
    let away = open(dir.path());
    assert!(!holds());
    assert!(away.standing_away().unwrap().unwrap().clean);
    assert_eq!(away.sizes().unwrap().vectors, 1);
}
