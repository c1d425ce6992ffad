use super::*;
use crate::ErrorCode;

const EMBEDDER: fn() -> Option<EmbedderInfo> = || Some(EmbedderInfo { id: "test".into(), dimension: 4 });

fn open(dir: &Path) -> KnowledgeStore {
    KnowledgeStore::open(dir, EMBEDDER(), Language::English, IndexOptions::default()).unwrap()
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
        passages.push((passage, Some(vec![1.0, word.len() as f32, index as f32, 0.5])));
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
    };
    NewDocument { info, text, chunking: String::new(), passages }
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
    let _ = knowledge.write(vec![document("a.txt", &["quince"])], &[]).unwrap();
    drop(knowledge);
    let knowledge = open(dir.path());
    let _ = knowledge.write(vec![document("c.txt", &["medlar"])], &[crate::rag::ingest::document_id("b.txt")]).unwrap();
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
    let error = KnowledgeStore::open(dir.path(), other, Language::English, IndexOptions::default()).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Conflict);
    assert!(error.context()["remedy"].contains("test"));
    drop(open(dir.path()));
}

#[test]
fn another_language_rebuilds_the_word_index() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).commit(vec![document("a.txt", &["answering"])], &[]).unwrap();
    let french = KnowledgeStore::open(dir.path(), EMBEDDER(), Language::French, IndexOptions::default()).unwrap();
    assert!(french.lexical.search(&french.lexical.wanted("answers"), 5, None).unwrap().ranking.is_empty());
    drop(french);
    let english = open(dir.path());
    let wanted = english.lexical.wanted("answers");
    assert_eq!(english.lexical.search(&wanted, 5, None).unwrap().ranking.len(), 1);
}
