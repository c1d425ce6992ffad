//! What a call answers, as a Python object.

use kwaai_ffi::{Item, KwaaiError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use pyo3::{IntoPyObjectExt, PyClass, PyClassInitializer};
use serde::Serialize;
use serde_json::Value;

/// Something that becomes a Python object once the interpreter is at hand.
pub(crate) trait Reply: Send + 'static {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>>;
}

macro_rules! convertible {
    ($($kind:ty),+) => {
        $(impl Reply for $kind {
            fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
                (*self).into_py_any(py)
            }
        })+
    };
}
convertible!((), bool, String, Vec<String>);

impl Reply for Vec<u8> {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(PyBytes::new(py, &self).into_any().unbind())
    }
}

/// A record of the object layer, as the dict that `kwaainet._records` makes a dataclass of.
pub(crate) struct Record(Value);

impl Record {
    pub(crate) fn of(record: impl Serialize) -> Result<Record, KwaaiError> {
        kwaai_ffi::to_json(&record).map(Record)
    }
}

impl Reply for Record {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(object(py, &self.0)?.unbind())
    }
}

impl Reply for Vec<Item<Value>> {
    /// A list of values; a number instead of a value says how many are missing there. Values are never bare numbers,
    /// they are wrapped in a tuple.
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let list = PyList::empty(py);
        for item in *self {
            match item {
                Item::Value(value) => list.append((object(py, &value)?,))?,
                Item::Lagged { missed } => list.append(missed)?,
            }
        }
        Ok(list.into_any().unbind())
    }
}

/// An object of this module.
pub(crate) struct Object<T>(pub(crate) T);

impl<T: PyClass + Into<PyClassInitializer<T>> + Send + 'static> Reply for Object<T> {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(Py::new(py, self.0)?.into_any())
    }
}

/// JSON as Python's own types.
pub(crate) fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(value) => value.into_bound_py_any(py),
        Value::String(value) => value.into_bound_py_any(py),
        Value::Number(value) => match (value.as_i64(), value.as_u64()) {
            (Some(value), _) => value.into_bound_py_any(py),
            (None, Some(value)) => value.into_bound_py_any(py),
            (None, None) => value.as_f64().into_bound_py_any(py),
        },
        Value::Array(values) => {
            let list = PyList::empty(py);
            for value in values {
                list.append(object(py, value)?)?;
            }
            Ok(list.into_any())
        }
        Value::Object(fields) => {
            let dict = PyDict::new(py);
            for (key, value) in fields {
                dict.set_item(key, object(py, value)?)?;
            }
            Ok(dict.into_any())
        }
    }
}

/// How many there were.
pub(crate) struct Count(u64);

impl Count {
    pub(crate) fn of(count: impl TryInto<u64>) -> Count {
        Count(count.try_into().unwrap_or(u64::MAX))
    }
}

impl Reply for Count {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.0.into_pyobject(py)?.into_any().unbind())
    }
}
