//! Tokenizers that come with a model, whose file may contradict itself.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Error, Result};

/// What `work` does with a tokenizer. A template that names a token which its own list does not have, and the like, is found out by the
/// crate that reads it only when a text comes, and by a panic.
///
/// # Errors
/// `corrupt_data` in place of the panic.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        Error::corrupt_data("the tokenizer's file contradicts itself").with_remedy("fetch the model's files again")
    })
}

#[cfg(test)]
mod tests {
    use tokenizers::Tokenizer;

    use super::*;

    #[test]
    fn a_template_with_a_token_that_is_nowhere_is_corrupt_data() {
        let piece = r#"{"Sequence":{"id":"A","type_id":0}}"#;
        let file = format!(
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":null,
            "post_processor":{{"type":"TemplateProcessing","single":[{{"SpecialToken":{{"id":"[CLS]","type_id":0}}}},{piece}],
            "pair":[{piece},{{"Sequence":{{"id":"B","type_id":1}}}}],"special_tokens":{{}}}},
            "decoder":null,"model":{{"type":"WordLevel","vocab":{{"a":0}},"unk_token":"a"}}}}"#
        );
        let tokenizer = Tokenizer::from_bytes(file).unwrap();
        let error = caught(|| tokenizer.encode("a", true)).err().unwrap();
        assert_eq!(error.code(), crate::ErrorCode::CorruptData);
        assert_eq!(caught(|| tokenizer.encode("a", false)).unwrap().unwrap().get_ids(), [0]);
    }
}
