//! Numbers of Python as numbers of Rust. A buffer of floats, such as a numpy array, is copied once and whole.

use kwaai_ffi::Matrix;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{exception, invalid, wrong_answer};

/// Numbers, one row after the other, and the shape where they have one.
struct Numbers {
    values: Vec<f32>,
    shape: Option<Vec<usize>>,
}

/// Calls `read` with the numbers of a two-dimensional array of floats and the length of its rows. The numbers are read
/// where they lie when they lie there row after row; otherwise they are copied once.
#[cfg(feature = "checkout")]
pub(crate) fn with_rows<T>(array: &Bound<'_, PyAny>, read: impl FnOnce(&[f32], usize) -> T) -> PyResult<T> {
    let py = array.py();
    if let Ok(buffer) = PyBuffer::<f32>::get(array)
        && let (Some(values), &[_, columns]) = (buffer.as_slice_ptr(), buffer.shape())
    {
        // SAFETY: the buffer is held until `read` is done, and the interpreter's lock too, so that no Python code writes to
        // it meanwhile.
        let values = unsafe { values.as_ref() };
        return Ok(read(values, columns));
    }
    match buffer(array)? {
        Some(Numbers { values, shape: Some(shape) }) if shape.len() == 2 => Ok(read(&values, shape[1])),
        _ => Err(invalid(py, "a two-dimensional array of 32-bit floats is expected".into())),
    }
}

/// The vectors that an embedder of the app gave: a two-dimensional buffer, a flat one, or a sequence of either buffers or
/// lists of numbers.
pub(crate) fn vectors(given: &Bound<'_, PyAny>, columns: usize) -> PyResult<Vec<f32>> {
    if let Some(numbers) = buffer(given)? {
        return match numbers.shape.as_deref() {
            Some(&[rows, width]) if rows > 0 && width != columns => Err(wrong_length(given.py(), width, columns)),
            Some(&[] | &[_, _, _, ..]) => {
                Err(invalid(given.py(), "vectors come as an array of one or two dimensions".into()))
            }
            _ => Ok(numbers.values),
        };
    }
    let mut all = Vec::new();
    for vector in given.try_iter().map_err(|_| no_vector(given, columns))? {
        let vector = vector?;
        let values = match buffer(&vector)? {
            Some(numbers) => numbers.values,
            None => vector.extract::<Vec<f32>>().map_err(|_| no_vector(&vector, columns))?,
        };
        if values.len() != columns {
            return Err(wrong_length(given.py(), values.len(), columns));
        }
        all.extend_from_slice(&values);
    }
    Ok(all)
}

/// The rows of a two-dimensional buffer, or of a sequence of buffers and lists of numbers; all of one length.
pub(crate) fn rows(what: &str, given: &Bound<'_, PyAny>) -> PyResult<Matrix> {
    let py = given.py();
    let shaped = |rows, columns, values| Matrix::new(rows, columns, values).map_err(|error| exception(py, &error));
    if let Some(numbers) = buffer(given)? {
        return match numbers.shape.as_deref() {
            Some(&[rows, columns]) => shaped(rows, columns, numbers.values),
            _ => Err(invalid(py, format!("{what} must be an array of two dimensions, a row for each"))),
        };
    }
    let wrong = || invalid(py, format!("{what} must be an array of floats, or a list of lists of numbers"));
    let (mut count, mut columns, mut all) = (0, None, Vec::new());
    for row in given.try_iter().map_err(|_| wrong())? {
        let values = values(&row?)?.ok_or_else(wrong)?;
        if *columns.get_or_insert(values.len()) != values.len() {
            return Err(invalid(py, format!("{what} must be of one length; number {count} has another")));
        }
        count += 1;
        all.extend_from_slice(&values);
    }
    shaped(count, columns.unwrap_or_default(), all)
}

/// The numbers of one vector: a buffer of one dimension, or of one row, or a list of numbers.
pub(crate) fn row(what: &str, given: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    values(given)?.ok_or_else(|| invalid(given.py(), format!("{what} must be an array of floats or a list of numbers")))
}

fn values(given: &Bound<'_, PyAny>) -> PyResult<Option<Vec<f32>>> {
    match buffer(given)? {
        Some(Numbers { values, shape: Some(shape) }) => Ok(matches!(shape[..], [_] | [1, _]).then_some(values)),
        Some(numbers) => Ok(Some(numbers.values)),
        None => Ok(given.extract().ok()),
    }
}

fn no_vector(given: &Bound<'_, PyAny>, columns: usize) -> PyErr {
    let wanted = format!("the embedder must give a vector of {columns} numbers for each text");
    wrong_answer(&wanted, given)
}

fn wrong_length(py: Python<'_>, given: usize, columns: usize) -> PyErr {
    invalid(py, format!("the embedder gave a vector of {given} numbers; its dimension is {columns}"))
}

/// What lends its memory as floats, or turns into such an array when it is asked, as tensors do.
fn buffer(value: &Bound<'_, PyAny>) -> PyResult<Option<Numbers>> {
    let py = value.py();
    if let Ok(buffer) = PyBuffer::<f32>::get(value) {
        return Ok(Some(Numbers { values: buffer.to_vec(py)?, shape: Some(buffer.shape().to_vec()) }));
    }
    if let Ok(buffer) = PyBuffer::<f64>::get(value) {
        let values = buffer.to_vec(py)?.into_iter().map(|value| value as f32).collect();
        return Ok(Some(Numbers { values, shape: Some(buffer.shape().to_vec()) }));
    }
    // An array that lends other numbers than floats is read as a sequence.
    if PyBuffer::<u8>::get(value).is_ok() || !value.hasattr("__array__")? || value.hasattr("__buffer__")? {
        return Ok(None);
    }
    let array = value.call_method0("__array__")?;
    if array.get_type().is(value.get_type()) { Ok(None) } else { buffer(&array) }
}

/// Floats as a buffer in this machine's byte order.
pub(crate) fn bytes<'py>(py: Python<'py>, values: &[f32]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, size_of_val(values), |buffer| {
        for (place, value) in buffer.chunks_exact_mut(size_of::<f32>()).zip(values) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        Ok(())
    })
}
