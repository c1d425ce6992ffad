//! Handles for C, which cannot be told to use them well.
//!
//! A handle is no address. It is a serial number with the kind of the object in its lowest byte, in the shape of a
//! pointer, and it is looked up at each use. Serial numbers are never used twice, so that they are their own
//! generation: a handle that was freed, freed twice, made up, or of another kind finds nothing, and the call answers an
//! error.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::ffi::c_char;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use kwaai_core::Error;

use crate::Result;

const TAG_BITS: u32 = 8;

/// The next serial number. It goes on in a forked child, so that no handle of the child equals one of its parent.
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// A kind of object that C may hold.
pub(crate) trait Kind: Send + Sync + 'static {
    /// The kind's own number, from 1.
    const TAG: u8;
    /// What messages call it.
    const NAME: &'static str;
    /// The incomplete type that stands for it in the header.
    type Opaque;
}

/// The handles and strings that C holds in this process.
#[derive(Default)]
pub(crate) struct Registry {
    objects: RwLock<HashMap<usize, Arc<dyn Any + Send + Sync>>>,
    strings: RwLock<HashSet<usize>>,
    /// Where arrays lie, and how many numbers each has.
    arrays: RwLock<HashMap<usize, usize>>,
}

impl Registry {
    /// Hands an object to C.
    pub(crate) fn insert<T: Kind>(&self, object: T) -> Result<*mut T::Opaque> {
        self.share(Arc::new(object))
    }

    /// Hands an object to C that others hold too.
    pub(crate) fn share<T: Kind>(&self, object: Arc<T>) -> Result<*mut T::Opaque> {
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        if serial > usize::MAX >> TAG_BITS {
            return Err(Error::resource_exhausted("this process has used up its handles").into());
        }
        let id = serial << TAG_BITS | usize::from(T::TAG);
        self.objects.write().unwrap_or_else(PoisonError::into_inner).insert(id, object);
        Ok(std::ptr::without_provenance_mut(id))
    }

    /// The object behind a handle. It lives on while the caller holds it, whoever frees the handle.
    pub(crate) fn get<T: Kind>(&self, handle: *const T::Opaque) -> Result<Arc<T>> {
        let id = check::<T>(handle)?;
        let found = self.objects.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        found.ok_or_else(gone::<T>)?.downcast().map_err(|_| wrong_kind::<T>())
    }

    /// Takes an object back from C; the handle is dead from here on.
    pub(crate) fn remove<T: Kind>(&self, handle: *const T::Opaque) -> Result<Arc<T>> {
        let id = check::<T>(handle)?;
        let found = self.objects.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        found.ok_or_else(gone::<T>)?.downcast().map_err(|_| wrong_kind::<T>())
    }

    /// How many objects, texts and arrays C holds.
    pub(crate) fn len(&self) -> usize {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).len()
            + self.strings.read().unwrap_or_else(PoisonError::into_inner).len()
            + self.arrays.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Hands numbers to C; NULL for none.
    pub(crate) fn insert_array(&self, values: Vec<f32>) -> *mut f32 {
        if values.is_empty() {
            return std::ptr::null_mut();
        }
        let length = values.len();
        let pointer = Box::into_raw(values.into_boxed_slice()).cast::<f32>();
        self.arrays.write().unwrap_or_else(PoisonError::into_inner).insert(pointer.addr(), length);
        pointer
    }

    /// Takes numbers back from C.
    pub(crate) fn remove_array(&self, values: *mut f32) -> Result<()> {
        let known = self.arrays.write().unwrap_or_else(PoisonError::into_inner).remove(&values.addr());
        let Some(length) = known else {
            return Err(Error::closed("these numbers were freed before, or are not of this library").into());
        };
        // SAFETY: it came from `into_raw` in `insert_array`, with this length, and was not freed since.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(values, length)) });
        Ok(())
    }

    /// Hands a text to C. What follows a NUL is lost to C anyway, so a text with one is refused.
    pub(crate) fn insert_text(&self, text: String) -> Result<*mut c_char> {
        let text = std::ffi::CString::new(text)
            .map_err(|error| Error::corrupt_data("a text holds a NUL character").with_source(error))?;
        let pointer = text.into_raw();
        self.strings.write().unwrap_or_else(PoisonError::into_inner).insert(pointer.addr());
        Ok(pointer)
    }

    /// Takes a text back from C.
    pub(crate) fn remove_text(&self, text: *mut c_char) -> Result<()> {
        let known = self.strings.write().unwrap_or_else(PoisonError::into_inner).remove(&text.addr());
        if !known {
            return Err(Error::closed("this text was freed before, or is not of this library").into());
        }
        // SAFETY: it came from `into_raw` in `insert_text` and was not freed since.
        drop(unsafe { std::ffi::CString::from_raw(text) });
        Ok(())
    }
}

fn check<T: Kind>(handle: *const T::Opaque) -> Result<usize> {
    let id = handle.addr();
    if id == 0 {
        return Err(Error::invalid_argument(format!("the {} is NULL", T::NAME)).into());
    }
    let serial = id >> TAG_BITS;
    if serial == 0 || serial >= NEXT.load(Ordering::Relaxed) {
        return Err(Error::invalid_argument(format!("this is no {} of this library", T::NAME)).into());
    }
    if id & ((1 << TAG_BITS) - 1) != usize::from(T::TAG) {
        return Err(wrong_kind::<T>());
    }
    Ok(id)
}

fn wrong_kind<T: Kind>() -> crate::KwaaiError {
    Error::invalid_argument(format!("this handle is of another kind, not a {}", T::NAME)).into()
}

fn gone<T: Kind>() -> crate::KwaaiError {
    Error::closed(format!("this {} was freed, or made before a fork", T::NAME)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kwaai_core::ErrorCode;

    struct Apple(u32);
    struct Pear;
    impl Kind for Apple {
        const TAG: u8 = 201;
        const NAME: &'static str = "apple";
        type Opaque = Apple;
    }
    impl Kind for Pear {
        const TAG: u8 = 202;
        const NAME: &'static str = "pear";
        type Opaque = Pear;
    }

    #[test]
    fn a_handle_finds_its_object_until_it_is_freed_and_never_again() {
        let registry = Registry::default();
        let apple = registry.insert(Apple(7)).unwrap();
        assert_eq!(registry.get::<Apple>(apple).unwrap().0, 7);
        let held = registry.remove::<Apple>(apple).unwrap();
        assert_eq!(held.0, 7, "who holds the object keeps it");
        assert_eq!(registry.get::<Apple>(apple).err().unwrap().code, ErrorCode::Closed);
        assert_eq!(registry.remove::<Apple>(apple).err().unwrap().code, ErrorCode::Closed);
        for _ in 0..1000 {
            assert_ne!(registry.insert(Apple(0)).unwrap(), apple);
        }
    }

    #[test]
    fn a_handle_of_another_kind_or_of_nobody_is_refused() {
        let registry = Registry::default();
        let apple = registry.insert(Apple(7)).unwrap();
        let code = |handle: *const Pear| registry.get::<Pear>(handle).err().unwrap().code;
        assert_eq!(code(apple.cast()), ErrorCode::InvalidArgument);
        assert_eq!(code(std::ptr::null()), ErrorCode::InvalidArgument);
        assert_eq!(code(std::ptr::without_provenance(usize::MAX)), ErrorCode::InvalidArgument);
        assert_eq!(code((&raw const registry).cast()), ErrorCode::InvalidArgument);
        assert_eq!(registry.len(), 1);
    }

    #[test]
    fn an_array_is_freed_once_and_an_empty_one_is_null() {
        let registry = Registry::default();
        assert!(registry.insert_array(Vec::new()).is_null());
        let array = registry.insert_array(vec![1.0, 2.0]);
        assert_eq!(registry.len(), 1);
        registry.remove_array(array).unwrap();
        assert_eq!(registry.remove_array(array).unwrap_err().code, ErrorCode::Closed);
        assert_eq!(registry.len(), 0);
    }

    #[test]
    fn a_text_is_freed_once() {
        let registry = Registry::default();
        let text = registry.insert_text("hello".into()).unwrap();
        registry.remove_text(text).unwrap();
        assert_eq!(registry.remove_text(text).unwrap_err().code, ErrorCode::Closed);
        assert_eq!(registry.remove_text(std::ptr::dangling_mut()).unwrap_err().code, ErrorCode::Closed);
        assert_eq!(registry.insert_text("a\0b".into()).unwrap_err().code, ErrorCode::CorruptData);
    }
}
