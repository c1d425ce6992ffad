//! llama.cpp itself, from the library that the backend `ggml` is linked with: a whole model, by its own graph.

use std::ffi::{CString, c_char, c_void};
use std::path::Path;

use llama_cpp_sys_2 as sys;

/// A model and the state of one text, or of several.
pub struct LlamaCpp {
    model: *mut sys::llama_model,
    context: *mut sys::llama_context,
    vocabulary: usize,
    positions: Vec<i32>,
}

unsafe extern "C" fn silent(_level: sys::ggml_log_level, _text: *const c_char, _data: *mut c_void) {}

impl LlamaCpp {
    /// Loads a file, for a text of at most `context` tokens.
    pub fn load(path: &Path, context: u32, threads: i32) -> LlamaCpp {
        LlamaCpp::load_for(path, context, threads, 1)
    }

    /// Loads a file, for so many texts of at most `context` tokens each.
    pub fn load_for(path: &Path, context: u32, threads: i32, texts: u32) -> LlamaCpp {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: as llama.h describes; every pointer is checked before it is used.
        unsafe {
            sys::llama_log_set(Some(silent), std::ptr::null_mut());
            sys::llama_backend_init();
            let mut parameters = sys::llama_model_default_params();
            parameters.n_gpu_layers = 0;
            let model = sys::llama_model_load_from_file(path.as_ptr(), parameters);
            assert!(!model.is_null(), "llama.cpp refuses {path:?}");
            let mut parameters = sys::llama_context_default_params();
            parameters.n_ctx = context * texts;
            parameters.n_seq_max = texts;
            parameters.n_batch = context;
            parameters.n_ubatch = context;
            parameters.n_threads = threads;
            parameters.n_threads_batch = threads;
            let context = sys::llama_init_from_model(model, parameters);
            assert!(!context.is_null());
            let vocabulary = sys::llama_vocab_n_tokens(sys::llama_model_get_vocab(model)) as usize;
            LlamaCpp { model, context, vocabulary, positions: vec![0; texts as usize] }
        }
    }

    /// Reads the next tokens of the text; the logits after each of them, or after the last.
    pub fn read(&mut self, tokens: &[u32], every: bool) -> Vec<Vec<f32>> {
        self.read_of(0, tokens, every)
    }

    /// The same of one of several texts.
    pub fn read_of(&mut self, text: usize, tokens: &[u32], every: bool) -> Vec<Vec<f32>> {
        let wants = |place: usize| every || place + 1 == tokens.len();
        let tokens: Vec<_> = tokens.iter().enumerate().map(|(place, token)| (text, *token, wants(place))).collect();
        self.decode(&tokens)
    }

    /// Reads a token of each text in one go.
    #[allow(dead_code, reason = "of the benchmarks alone")]
    pub fn read_each(&mut self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let tokens: Vec<_> = tokens.iter().enumerate().map(|(text, token)| (text, *token, true)).collect();
        self.decode(&tokens)
    }

    /// Texts, their tokens, and whether the logits after them are wanted.
    fn decode(&mut self, tokens: &[(usize, u32, bool)]) -> Vec<Vec<f32>> {
        // SAFETY: the batch has room for as many tokens as are written, and logits are read where they were asked for.
        unsafe {
            let mut batch = sys::llama_batch_init(tokens.len() as i32, 0, 1);
            for (place, (text, token, wanted)) in tokens.iter().enumerate() {
                *batch.token.add(place) = *token as i32;
                *batch.pos.add(place) = self.positions[*text];
                *batch.n_seq_id.add(place) = 1;
                **batch.seq_id.add(place) = *text as i32;
                *batch.logits.add(place) = i8::from(*wanted);
                self.positions[*text] += 1;
            }
            batch.n_tokens = tokens.len() as i32;
            let failed = sys::llama_decode(self.context, batch);
            sys::llama_batch_free(batch);
            assert_eq!(failed, 0);
            let row = |place: usize| {
                let logits = sys::llama_get_logits_ith(self.context, place as i32);
                std::slice::from_raw_parts(logits, self.vocabulary).to_vec()
            };
            (0..tokens.len()).filter(|place| tokens[*place].2).map(row).collect()
        }
    }

    /// Forgets all but the first `length` tokens.
    pub fn truncate(&mut self, length: usize) {
        // SAFETY: the context is alive.
        assert!(unsafe { sys::llama_memory_seq_rm(sys::llama_get_memory(self.context), 0, length as i32, -1) });
        self.positions[0] = length as i32;
    }
}

impl Drop for LlamaCpp {
    fn drop(&mut self) {
        // SAFETY: both were made by llama.cpp and are freed once, the context first.
        unsafe {
            sys::llama_free(self.context);
            sys::llama_model_free(self.model);
        }
    }
}
