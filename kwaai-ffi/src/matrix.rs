//! Numbers in rows and columns, which cross as one buffer.

use kwaai_core::Error;
use serde::{Serialize, Serializer};

use crate::Result;

/// Rows of equal length, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// How many rows.
    pub rows: usize,
    /// How many numbers a row has.
    pub columns: usize,
    /// `rows * columns` numbers.
    pub values: Vec<f32>,
}

impl Matrix {
    /// A matrix of these numbers.
    ///
    /// # Errors
    /// `invalid_argument` when they do not fill the rows exactly.
    pub fn new(rows: usize, columns: usize, values: Vec<f32>) -> Result<Matrix> {
        if rows.checked_mul(columns) != Some(values.len()) {
            let message = format!("{} numbers do not make {rows} rows of {columns}", values.len());
            return Err(Error::invalid_argument(message).into());
        }
        Ok(Matrix { rows, columns, values })
    }

    pub(crate) fn of(rows: Vec<Vec<f32>>) -> Matrix {
        let columns = rows.first().map_or(0, Vec::len);
        Matrix { rows: rows.len(), columns, values: rows.concat() }
    }
}

impl Serialize for Matrix {
    /// `{"rows": n, "columns": m, "values": [[…], …]}`, for tests and for languages without buffers.
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut matrix = serializer.serialize_struct("Matrix", 3)?;
        matrix.serialize_field("rows", &self.rows)?;
        matrix.serialize_field("columns", &self.columns)?;
        let rows: Vec<&[f32]> = self.values.chunks(self.columns.max(1)).collect();
        matrix.serialize_field("values", &rows)?;
        matrix.end()
    }
}
