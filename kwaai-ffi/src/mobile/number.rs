//! Numbers that come in.

use kwaai_core::Error;

use crate::Result;

/// A number that fits what it is for.
///
/// # Errors
/// `invalid_argument` naming it when it is negative or too large.
pub(crate) fn whole<T: TryFrom<i64>>(what: &str, number: i64) -> Result<T> {
    T::try_from(number).map_err(|_| {
        let problem = if number < 0 { "is negative" } else { "is too large" };
        Error::invalid_argument(format!("{what} {problem}: {number}")).into()
    })
}

/// [`whole`] for what may be left out.
pub(crate) fn maybe<T: TryFrom<i64>>(what: &str, number: Option<i64>) -> Result<Option<T>> {
    number.map(|number| whole(what, number)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kwaai_core::ErrorCode;

    #[test]
    fn a_number_that_does_not_fit_is_refused_by_its_name() {
        assert_eq!(whole::<u32>("k", 7).unwrap(), 7);
        assert_eq!(maybe::<u64>("seed", None).unwrap(), None);
        for (number, says) in [(-1, "k is negative: -1"), (i64::from(u32::MAX) + 1, "k is too large: 4294967296")] {
            let error = whole::<u32>("k", number).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument);
            assert_eq!(error.message, says);
        }
    }
}
