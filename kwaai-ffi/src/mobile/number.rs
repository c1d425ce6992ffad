//! Numbers that come in.

use kwaai_core::Error;

use crate::{Result, Spelling};

/// What a whole number may be at most.
pub(crate) trait Whole: TryFrom<i64> {
    const MAX: u64;
}

macro_rules! whole {
    ($($kind:ty),+) => { $(impl Whole for $kind {
        const MAX: u64 = <$kind>::MAX as u64;
    })+ };
}
whole!(u16, u32, u64, usize);

/// A number that fits what it is for. Messages spell its name as both languages do.
///
/// # Errors
/// `invalid_argument` naming it when it is negative or too large.
pub(crate) fn whole<T: Whole>(what: &str, number: i64) -> Result<T> {
    T::try_from(number).map_err(|_| {
        // Neither language has larger numbers than this.
        let most = T::MAX.min(i64::MAX as u64);
        let name = Spelling::Camel.of(what);
        Error::invalid_argument(format!("{name} must be a whole number from 0 to {most}, not {number}")).into()
    })
}

/// [`whole`] for what may be left out.
pub(crate) fn maybe<T: Whole>(what: &str, number: Option<i64>) -> Result<Option<T>> {
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
        for number in [-1, i64::from(u32::MAX) + 1] {
            let error = whole::<u32>("top_k", number).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument);
            assert_eq!(error.message, format!("topK must be a whole number from 0 to 4294967295, not {number}"));
        }
        let error = whole::<u64>("seed", -1).unwrap_err();
        assert_eq!(error.message, "seed must be a whole number from 0 to 9223372036854775807, not -1");
    }
}
