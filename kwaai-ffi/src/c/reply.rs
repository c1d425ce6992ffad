//! What a call answers, on its way to C.

use std::ffi::c_char;

use kwaai_core::event::Item;
use serde::Serialize;
use serde_json::Value;

use super::call::Out;
use super::stream::{StreamObject, kwaai_item_t};
use crate::registry::Kind;
use crate::rt::process;
use crate::{
    Federation, HostConsole, HttpServer, JsonStream, Matrix, Model, Node, Rag, Result, ShardEngine, SharedKnowledge,
    TrustGraph, VectorCollection,
};

/// The answer of a verb that waits.
pub(super) trait Reply: Send + 'static {
    /// The outputs of the function that waits.
    type Places;

    /// Writes the answer to the outputs.
    fn put(self, places: Self::Places) -> Result<()>;

    /// What an operation keeps until it is taken.
    fn keep(self) -> Kept;
}

/// The answer of an operation that nobody has taken yet.
pub(super) enum Kept {
    Nothing,
    Text(String),
    Item(kwaai_item_t, Option<String>),
    Numbers(Matrix),
    Node(Node),
    Trust(TrustGraph),
    Shards(ShardEngine),
    Model(Model),
    Rag(Rag),
    Collection(VectorCollection),
    Console(HostConsole),
    Federation(Federation),
    Shared(SharedKnowledge),
    HttpServer(HttpServer),
    Count(usize),
    Stream(StreamObject),
}

impl Reply for () {
    type Places = ();

    fn put(self, (): ()) -> Result<()> {
        Ok(())
    }

    fn keep(self) -> Kept {
        Kept::Nothing
    }
}

/// A text, or a record as JSON.
pub(super) struct Text(pub(super) String);

impl Text {
    pub(super) fn json(record: &impl Serialize) -> Result<Text> {
        crate::to_json(record).map(|value| Text(value.to_string()))
    }
}

impl Reply for Text {
    type Places = (Out<*mut c_char>,);

    fn put(self, (text,): Self::Places) -> Result<()> {
        text.set_text(self.0)
    }

    fn keep(self) -> Kept {
        Kept::Text(self.0)
    }
}

/// How many there are of something.
pub(super) struct Count(pub(super) usize);

impl Reply for Count {
    type Places = (Out<usize>,);

    fn put(self, (count,): Self::Places) -> Result<()> {
        count.set(self.0)
    }

    fn keep(self) -> Kept {
        Kept::Count(self.0)
    }
}

/// A score: its value, and the arithmetic as JSON.
pub(super) struct Scored(pub(super) f64, pub(super) Text);

impl Reply for Scored {
    type Places = (Out<f64>, Out<*mut c_char>);

    fn put(self, (value, text): Self::Places) -> Result<()> {
        text.set_text(self.1.0)?;
        value.set(self.0)
    }

    fn keep(self) -> Kept {
        self.1.keep()
    }
}

/// What a stream yielded; nothing at its end.
pub(super) struct Next(pub(super) Option<Item<Value>>);

impl Next {
    fn split(self) -> (kwaai_item_t, Option<String>) {
        match self.0 {
            None => (kwaai_item_t::KWAAI_ITEM_END, None),
            Some(Item::Value(value)) => (kwaai_item_t::KWAAI_ITEM_VALUE, Some(value.to_string())),
            Some(Item::Lagged { missed }) => {
                (kwaai_item_t::KWAAI_ITEM_LAGGED, Some(serde_json::json!({ "missed": missed }).to_string()))
            }
        }
    }
}

impl Reply for Next {
    type Places = (Out<kwaai_item_t>, Out<*mut c_char>);

    fn put(self, (item, json): Self::Places) -> Result<()> {
        let (kind, text) = self.split();
        if let Some(text) = text {
            json.set_text(text)?;
        }
        item.set(kind)
    }

    fn keep(self) -> Kept {
        let (kind, text) = self.split();
        Kept::Item(kind, text)
    }
}

impl Reply for Matrix {
    type Places = (Out<*mut f32>, Out<usize>, Out<usize>);

    fn put(self, (values, rows, columns): Self::Places) -> Result<()> {
        rows.set(self.rows)?;
        columns.set(self.columns)?;
        values.set(process().registry.insert_array(self.values))
    }

    fn keep(self) -> Kept {
        Kept::Numbers(self)
    }
}

/// A new stream.
pub(super) fn stream(stream: impl JsonStream + 'static) -> StreamObject {
    StreamObject::new(stream)
}

macro_rules! objects {
    ($($kind:ty => $kept:ident),+) => {
        $(impl Reply for $kind {
            type Places = (Out<*mut <$kind as Kind>::Opaque>,);

            fn put(self, (place,): Self::Places) -> Result<()> {
                place.set_handle(self)
            }

            fn keep(self) -> Kept {
                Kept::$kept(self)
            }
        })+
    };
}
objects!(
    Node => Node, TrustGraph => Trust, ShardEngine => Shards, Model => Model, Rag => Rag, VectorCollection => Collection,
    Federation => Federation, SharedKnowledge => Shared, HostConsole => Console, HttpServer => HttpServer, StreamObject => Stream
);
