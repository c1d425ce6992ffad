//! ggml behind safe functions: everything of this crate that is unsafe for the sake of computing is in this file.
//!
//! ggml checks little and ends the process when a check fails, so its callers make sure of names, types, shapes and sizes
//! before they come here; what is checked here once more is what would otherwise read or write beyond memory. Only functions
//! that every device of ggml has are used, reached through its registry.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::File;
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use llama_cpp_sys_2 as sys;
use memmap2::Mmap;
use tokio_util::sync::CancellationToken;

use crate::shard::weights::Encoding;
use crate::{Error, Result};

/// ggml's kernels want buffers that begin at a multiple of this.
const ALIGNMENT: usize = 32;
/// Rows of a product that a kernel is asked about before weights are put into its order.
const ASKED_ROWS: i64 = 512;

fn out_of_memory(what: &str) -> Error {
    Error::resource_exhausted(format!("there is no memory for {what}"))
}

fn defect(what: &str) -> Error {
    Error::internal(format!("a graph does not fit its model: {what}"))
}

/// A file in memory, without being read first.
pub struct Map(Mmap);

impl Map {
    /// Maps a file, which must stay as it is while it is mapped: shortened, it takes the process with it.
    pub fn open(path: &Path) -> Result<Map> {
        let file = File::open(path).map_err(|error| Error::file("read", path, error))?;
        // SAFETY: the map is only read. Model files are not changed in place by anything that belongs to this library, and
        // the documentation asks the same of others.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| Error::file("map", path, error))?;
        Ok(Map(map))
    }

    /// Some of its bytes.
    pub fn bytes(&self, start: usize, length: usize) -> Option<&[u8]> {
        self.0.get(start..start.checked_add(length)?)
    }

    /// Gives back the memory of pages that were read, as long as nobody reads them again; whoever looks a row up then gets the pages
    /// around it alone, and not two megabytes.
    fn let_go(&self, start: usize, length: usize) {
        #[cfg(unix)]
        {
            // SAFETY: the map is of a file and never written to: what is given back is read from the file when it is needed.
            let advised = unsafe { self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, length) };
            #[cfg(target_os = "linux")]
            let advised = advised.and_then(|()| self.0.advise_range(memmap2::Advice::NoHugePage, start, length));
            if let Err(error) = advised {
                tracing::debug!(target: "ggml", %error, "pages of a model file stay in memory");
            }
        }
        #[cfg(not(unix))]
        let _ = (start, length);
    }
}

/// A memory of descriptions of tensors; the tensors live as long as it does.
struct Context(NonNull<sys::ggml_context>);

impl Context {
    /// Room for so many tensors and, if not zero, a graph of so many nodes.
    fn new(tensors: usize, nodes: usize) -> Result<Context> {
        // SAFETY: these two only compute sizes.
        let (each, graph) = unsafe {
            (sys::ggml_tensor_overhead(), if nodes > 0 { sys::ggml_graph_overhead_custom(nodes, false) } else { 0 })
        };
        let parameters =
            sys::ggml_init_params { mem_size: tensors * each + graph, mem_buffer: null_mut(), no_alloc: true };
        // SAFETY: with `no_alloc` and no buffer of the caller's, ggml allocates what it needs or returns null.
        let context = unsafe { sys::ggml_init(parameters) };
        NonNull::new(context).map(Context).ok_or_else(|| out_of_memory("a graph"))
    }

    fn pointer(&self) -> *mut sys::ggml_context {
        self.0.as_ptr()
    }

    /// A tensor whose values will be somewhere else. Dimensions begin with the innermost.
    fn tensor(&self, kind: sys::ggml_type, dimensions: &[usize]) -> Result<Tensor> {
        let dimensions: Vec<i64> = dimensions.iter().map(|size| *size as i64).collect();
        // SAFETY: the context is alive, and the pointer leads to as many dimensions as are announced. ggml copies them.
        let tensor =
            unsafe { sys::ggml_new_tensor(self.pointer(), kind, dimensions.len() as c_int, dimensions.as_ptr()) };
        Tensor::new(tensor)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: nothing that points into the context outlives the structure that owns both.
        unsafe { sys::ggml_free(self.pointer()) };
    }
}

/// A tensor in some context, which the structure that holds this keeps alive.
#[derive(Clone, Copy)]
struct Tensor(NonNull<sys::ggml_tensor>);

impl Tensor {
    fn new(tensor: *mut sys::ggml_tensor) -> Result<Tensor> {
        NonNull::new(tensor).map(Tensor).ok_or_else(|| out_of_memory("a graph"))
    }

    fn pointer(self) -> *mut sys::ggml_tensor {
        self.0.as_ptr()
    }

    fn bytes(self) -> usize {
        // SAFETY: the tensor is alive while its holder is; this only reads its shape.
        unsafe { sys::ggml_nbytes(self.pointer()) }
    }

    /// Writes all values, in the way in which the buffer of the tensor keeps them.
    fn set(self, bytes: &[u8]) -> Result<()> {
        if bytes.len() != self.bytes() {
            return Err(defect("values of another size"));
        }
        // SAFETY: the tensor has a buffer, which its holder allocated before anybody could write, and as many bytes are
        // read as the slice has.
        unsafe { sys::ggml_backend_tensor_set(self.pointer(), bytes.as_ptr().cast(), 0, bytes.len()) };
        Ok(())
    }
}

/// Memory of a device.
struct Buffer(NonNull<sys::ggml_backend_buffer>);

impl Buffer {
    fn new(buffer: sys::ggml_backend_buffer_t, what: &str) -> Result<Buffer> {
        NonNull::new(buffer).map(Buffer).ok_or_else(|| out_of_memory(what))
    }

    /// Memory for all tensors of a context that have none yet.
    fn of(context: &Context, kind: sys::ggml_backend_buffer_type_t, what: &str) -> Result<Buffer> {
        // SAFETY: the context is alive and the type of buffer is one of a device, which live as long as the process.
        let buffer = unsafe { sys::ggml_backend_alloc_ctx_tensors_from_buft(context.pointer(), kind) };
        Buffer::new(buffer, what)
    }

    fn holds_weights(&self) {
        // SAFETY: the buffer is alive.
        unsafe {
            sys::ggml_backend_buffer_set_usage(self.0.as_ptr(), sys::GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        }
    }

    fn clear(&self) {
        // SAFETY: the buffer is alive and its memory is writable.
        unsafe { sys::ggml_backend_buffer_clear(self.0.as_ptr(), 0) };
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: whoever owns the buffer owns the tensors in it.
        unsafe { sys::ggml_backend_buffer_free(self.0.as_ptr()) };
    }
}

unsafe extern "C" fn log(_level: sys::ggml_log_level, text: *const c_char, _data: *mut c_void) {
    if !text.is_null() {
        // SAFETY: ggml hands over a C string that lives as long as this call.
        let text = unsafe { CStr::from_ptr(text) };
        tracing::debug!(target: "ggml", "{}", text.to_string_lossy().trim_end());
    }
}

/// Where ggml computes.
#[derive(Clone, Copy)]
pub struct Device {
    device: sys::ggml_backend_dev_t,
    registry: sys::ggml_backend_reg_t,
}

// SAFETY: devices are entries of a table that is filled once and lives as long as the process; nothing here changes them.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// The processor.
    pub fn processor() -> Result<Device> {
        // SAFETY: the function may be called from any thread and takes no data. Without one, ggml writes to stderr.
        unsafe { sys::ggml_log_set(Some(log), null_mut()) };
        // SAFETY: the registry is filled on its first use, under a lock of C++.
        let device = unsafe { sys::ggml_backend_dev_by_type(sys::GGML_BACKEND_DEVICE_TYPE_CPU) };
        if device.is_null() {
            return Err(Error::unsupported("this build of ggml has no code for the processor"));
        }
        // SAFETY: the device was just found.
        let registry = unsafe { sys::ggml_backend_dev_backend_reg(device) };
        Ok(Device { device, registry })
    }

    fn function(self, name: &CStr) -> *mut c_void {
        // SAFETY: the registry lives as long as the process, and the name is a C string.
        unsafe { sys::ggml_backend_reg_get_proc_address(self.registry, name.as_ptr()) }
    }

    fn memory(self) -> sys::ggml_backend_buffer_type_t {
        // SAFETY: the device is alive.
        unsafe { sys::ggml_backend_dev_buffer_type(self.device) }
    }

    /// The orders of weights for which the device has faster kernels, best first.
    fn orders(self) -> Vec<sys::ggml_backend_buffer_type_t> {
        type Extra = unsafe extern "C" fn(sys::ggml_backend_dev_t) -> *mut sys::ggml_backend_buffer_type_t;
        let function = self.function(c"ggml_backend_dev_get_extra_bufts");
        let mut found = Vec::new();
        if function.is_null() {
            return found;
        }
        // SAFETY: under this name ggml registers a function of this type (`ggml_backend_dev_get_extra_bufts_t`).
        let function = unsafe { std::mem::transmute::<*mut c_void, Extra>(function) };
        // SAFETY: the device is alive; the answer is null or a list that ends with null.
        let mut next = unsafe { function(self.device) };
        // SAFETY: the list is read up to the null at its end.
        while let Some(kind) = unsafe { next.as_ref() }.copied().filter(|kind| !kind.is_null()) {
            found.push(kind);
            // SAFETY: the entry was not the last.
            next = unsafe { next.add(1) };
        }
        found
    }

    /// Whether weights of this type and shape can be multiplied from an order.
    fn multiplies(
        self,
        kind: sys::ggml_type,
        columns: usize,
        rows: usize,
        order: sys::ggml_backend_buffer_type_t,
    ) -> Result<bool> {
        let context = Context::new(3, 0)?;
        let weight = context.tensor(kind, &[columns, rows])?;
        let other = context.tensor(sys::GGML_TYPE_F32, &[columns, ASKED_ROWS as usize])?;
        // SAFETY: a buffer of no size of a type that is alive. It stands in for the one that the weight would get.
        let stand_in = Buffer::new(unsafe { sys::ggml_backend_buft_alloc_buffer(order, 0) }, "weights")?;
        // SAFETY: both tensors are in the live context and can be multiplied: their first dimensions are equal. The buffer
        // lives to the end of this function, and so longer than the question.
        unsafe {
            (*weight.pointer()).buffer = stand_in.0.as_ptr();
            let product = sys::ggml_mul_mat(context.pointer(), weight.pointer(), other.pointer());
            Ok(sys::ggml_backend_dev_supports_op(self.device, product))
        }
    }
}

/// Where the values of a weight are.
pub enum Values<'a> {
    /// As they are in a file.
    Mapped(&'a Arc<Map>, usize),
    /// In f32.
    Own(&'a [f32]),
}

/// A weight before it is loaded.
pub struct Weight<'a> {
    pub name: String,
    pub encoding: Encoding,
    pub columns: usize,
    /// One for a vector.
    pub rows: usize,
    pub values: Values<'a>,
    /// Whether it is only ever multiplied with, so that a faster order will do.
    pub multiplied: bool,
}

/// Weights where kernels find them.
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
    repacked: usize,
    // In the order in which they are dropped.
    _buffers: Vec<Buffer>,
    _contexts: Vec<Context>,
    _maps: Vec<Arc<Map>>,
}

// SAFETY: after `load` nothing is written any more, and ggml's kernels only read weights.
unsafe impl Send for Weights {}
// SAFETY: as above.
unsafe impl Sync for Weights {}

impl Weights {
    /// Brings weights to a device: those of a file without a copy, as long as nothing faster can be made of them.
    pub fn load(device: Device, weights: &[Weight]) -> Result<Weights> {
        let mut loading =
            Loading { device, tensors: BTreeMap::new(), buffers: Vec::new(), contexts: Vec::new(), maps: Vec::new() };
        let orders = device.orders();
        let mut in_order: Vec<Vec<&Weight>> = orders.iter().map(|_| Vec::new()).collect();
        let (mut copied, mut mapped) = (Vec::new(), Vec::new());
        for weight in weights {
            let mut best = None;
            for (place, order) in orders.iter().enumerate().filter(|_| weight.multiplied) {
                if best.is_none() && device.multiplies(kind(weight.encoding), weight.columns, weight.rows, *order)? {
                    best = Some(place);
                }
            }
            match (&weight.values, best) {
                (_, Some(place)) => in_order[place].push(weight),
                (Values::Mapped(_, start), None) if start % ALIGNMENT == 0 => mapped.push(weight),
                _ => copied.push(weight),
            }
        }
        let repacked = in_order.iter().flatten().map(|weight| bytes_of(weight)).sum();
        for (order, weights) in orders.into_iter().zip(&in_order) {
            loading.copy(weights, order)?;
        }
        loading.copy(&copied, device.memory())?;
        loading.map(&mapped)?;
        let Loading { tensors, buffers, contexts, maps, .. } = loading;
        Ok(Weights { tensors, repacked, _buffers: buffers, _contexts: contexts, _maps: maps })
    }

    /// How many bytes were put into another order, and so are in memory beside the file.
    pub fn repacked(&self) -> usize {
        self.repacked
    }
}

struct Loading {
    device: Device,
    tensors: BTreeMap<String, Tensor>,
    buffers: Vec<Buffer>,
    contexts: Vec<Context>,
    maps: Vec<Arc<Map>>,
}

impl Loading {
    fn describe(&mut self, weights: &[&Weight]) -> Result<Vec<Tensor>> {
        let context = Context::new(weights.len(), 0)?;
        let tensors = weights.iter().map(|weight| match weight.rows {
            1 => context.tensor(kind(weight.encoding), &[weight.columns]),
            rows => context.tensor(kind(weight.encoding), &[weight.columns, rows]),
        });
        let tensors = tensors.collect::<Result<Vec<_>>>()?;
        for (weight, tensor) in weights.iter().zip(&tensors) {
            if tensor.bytes() != bytes_of(weight) {
                return Err(defect("ggml counts the bytes of a weight otherwise"));
            }
            self.tensors.insert(weight.name.clone(), *tensor);
        }
        self.contexts.push(context);
        Ok(tensors)
    }

    fn copy(&mut self, weights: &[&Weight], memory: sys::ggml_backend_buffer_type_t) -> Result<()> {
        if weights.is_empty() {
            return Ok(());
        }
        let tensors = self.describe(weights)?;
        let context = self.contexts.last().ok_or_else(|| defect("no context"))?;
        let buffer = Buffer::of(context, memory, "weights")?;
        buffer.holds_weights();
        self.buffers.push(buffer);
        for (weight, tensor) in weights.iter().zip(tensors) {
            match weight.values {
                Values::Mapped(map, start) => {
                    tensor.set(mapped(map, start, bytes_of(weight))?)?;
                    map.let_go(start, bytes_of(weight));
                }
                Values::Own(values) => tensor.set(as_bytes(values))?,
            }
        }
        Ok(())
    }

    fn map(&mut self, weights: &[&Weight]) -> Result<()> {
        let mut maps: Vec<Arc<Map>> = Vec::new();
        for weight in weights {
            if let Values::Mapped(map, _) = weight.values
                && !maps.iter().any(|known| Arc::ptr_eq(known, map))
            {
                maps.push(map.clone());
            }
        }
        for map in maps {
            let here =
                |weight: &&&Weight| matches!(weight.values, Values::Mapped(other, _) if Arc::ptr_eq(other, &map));
            let weights: Vec<&Weight> = weights.iter().filter(here).copied().collect();
            let tensors = self.describe(&weights)?;
            let whole = map.0.as_ptr().cast_mut().cast::<c_void>();
            // SAFETY: the map is kept beside the buffer and dropped after it. The buffer is marked as one of weights, which
            // kernels only read.
            let buffer = unsafe {
                sys::ggml_backend_dev_buffer_from_host_ptr(self.device.device, whole, map.0.len(), map.0.len())
            };
            let buffer = Buffer::new(buffer, "weights")?;
            buffer.holds_weights();
            for (weight, tensor) in weights.iter().zip(tensors) {
                let Values::Mapped(_, start) = weight.values else { continue };
                let at = mapped(&map, start, bytes_of(weight))?.as_ptr().cast_mut().cast::<c_void>();
                // SAFETY: the tensor has no memory yet, and the bytes from `at` to its end are within the buffer.
                let status = unsafe { sys::ggml_backend_tensor_alloc(buffer.0.as_ptr(), tensor.pointer(), at) };
                if status != sys::GGML_STATUS_SUCCESS {
                    return Err(defect("a weight cannot stay in its file"));
                }
            }
            self.buffers.push(buffer);
            self.maps.push(map);
        }
        Ok(())
    }
}

fn mapped(map: &Map, start: usize, length: usize) -> Result<&[u8]> {
    map.bytes(start, length).ok_or_else(|| {
        Error::corrupt_data("a model file became shorter after it was opened").with_remedy("load the model again")
    })
}

fn bytes_of(weight: &Weight) -> usize {
    weight.columns / weight.encoding.values() * weight.encoding.bytes() * weight.rows
}

fn kind(encoding: Encoding) -> sys::ggml_type {
    match encoding {
        Encoding::F32 => sys::GGML_TYPE_F32,
        Encoding::F16 => sys::GGML_TYPE_F16,
        Encoding::BF16 => sys::GGML_TYPE_BF16,
        Encoding::Q8_0 => sys::GGML_TYPE_Q8_0,
        Encoding::Q4_0 => sys::GGML_TYPE_Q4_0,
        Encoding::Q4_K => sys::GGML_TYPE_Q4_K,
        Encoding::Q6_K => sys::GGML_TYPE_Q6_K,
    }
}

/// Numbers without a bit pattern that is none, so that their memory can be read as bytes.
pub trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for i32 {}
impl Plain for i64 {}
impl Plain for half::f16 {}

fn as_bytes<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: numbers have no padding, any byte is a valid `u8`, and the slice covers exactly the values' memory.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Keys and values of one text: in f16, a row for each token.
pub struct Memory {
    keys: Vec<Tensor>,
    values: Vec<Tensor>,
    row: usize,
    tokens: usize,
    _buffer: Buffer,
    _context: Context,
}

// SAFETY: written only by graphs, `take` and `forget`, all of which need the text's state exclusively.
unsafe impl Send for Memory {}
// SAFETY: through a shared reference nothing is written.
unsafe impl Sync for Memory {}

impl Memory {
    /// For so many blocks and tokens, all zero: what is masked is multiplied all the same, so it must be finite.
    pub fn new(device: Device, blocks: usize, row: usize, tokens: usize) -> Result<Memory> {
        let context = Context::new(2 * blocks, 0)?;
        let rows =
            || (0..blocks).map(|_| context.tensor(sys::GGML_TYPE_F16, &[row, tokens])).collect::<Result<Vec<_>>>();
        let (keys, values) = (rows()?, rows()?);
        let buffer = Buffer::of(&context, device.memory(), "keys and values")?;
        buffer.clear();
        Ok(Memory { keys, values, row, tokens, _buffer: buffer, _context: context })
    }

    /// For how many tokens it is.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Takes the rows of the first tokens of another memory, of the same blocks.
    pub fn take(&self, other: &Memory, tokens: usize) {
        let mut rows = vec![0u8; tokens * self.row * 2];
        let into = self.keys.iter().chain(&self.values);
        for (to, from) in into.zip(other.keys.iter().chain(&other.values)) {
            if rows.len() <= to.bytes().min(from.bytes()) {
                // SAFETY: both tensors have memory, and the rows are within it and as many as the bytes between them.
                unsafe {
                    sys::ggml_backend_tensor_get(from.pointer(), rows.as_mut_ptr().cast(), 0, rows.len());
                    sys::ggml_backend_tensor_set(to.pointer(), rows.as_ptr().cast(), 0, rows.len());
                }
            }
        }
    }

    /// Makes the rows of some tokens zero again.
    pub fn forget(&self, tokens: std::ops::Range<usize>) {
        let (start, size) = (tokens.start * self.row * 2, tokens.len() * self.row * 2);
        for tensor in self.keys.iter().chain(&self.values) {
            if start + size <= tensor.bytes() {
                // SAFETY: the tensor has memory, and the rows are within it.
                unsafe { sys::ggml_backend_tensor_memset(tensor.pointer(), 0, start, size) };
            }
        }
    }
}

/// Runs graphs, one at a time, on a thread of its own: OpenMP gives every thread that ever computes helpers of its own, and keeps
/// them.
pub struct Engine {
    work: Option<SyncSender<Work>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Work {
    graph: GraphPointer,
    cancel: CancellationToken,
    done: SyncSender<sys::ggml_status>,
}

/// A graph on its way to the thread that computes it.
struct GraphPointer(*mut sys::ggml_cgraph);

// SAFETY: whoever sends a graph waits until it is computed, and keeps it and all that it points to for as long.
unsafe impl Send for GraphPointer {}

struct Backend {
    backend: NonNull<sys::ggml_backend>,
    set_abort: SetAbort,
}

type SetThreads = unsafe extern "C" fn(sys::ggml_backend_t, c_int);
type SetAbort = unsafe extern "C" fn(sys::ggml_backend_t, sys::ggml_abort_callback, *mut c_void);

// SAFETY: a backend may be used by any thread, by one at a time; the engine's thread owns it.
unsafe impl Send for Backend {}

impl Engine {
    /// An engine with so many threads.
    pub fn new(device: Device, threads: usize) -> Result<Engine> {
        let (threads_of, abort_of) =
            (device.function(c"ggml_backend_set_n_threads"), device.function(c"ggml_backend_set_abort_callback"));
        if threads_of.is_null() || abort_of.is_null() {
            return Err(Error::unsupported("this build of ggml cannot be told how many threads to use, or to stop"));
        }
        // SAFETY: the device is alive, and without parameters it takes its own.
        let backend = unsafe { sys::ggml_backend_dev_init(device.device, null()) };
        let backend = NonNull::new(backend).ok_or_else(|| out_of_memory("a backend of ggml"))?;
        // SAFETY: under this name ggml registers a function of this type (`ggml_backend_set_n_threads_t`).
        let set_threads = unsafe { std::mem::transmute::<*mut c_void, SetThreads>(threads_of) };
        // SAFETY: the backend was just made by this device.
        unsafe { set_threads(backend.as_ptr(), threads as c_int) };
        // SAFETY: under this name ggml registers a function of this type (`ggml_backend_set_abort_callback_t`).
        let set_abort = unsafe { std::mem::transmute::<*mut c_void, SetAbort>(abort_of) };
        let backend = Backend { backend, set_abort };
        let (work, given) = sync_channel::<Work>(1);
        let thread = std::thread::Builder::new().name("kwaainet-ggml".into()).spawn(move || {
            for Work { graph, cancel, done } in given {
                // Nobody but the one who waits for it can have gone away.
                let _ = done.send(backend.compute(graph, &cancel));
            }
        });
        let thread =
            thread.map_err(|error| Error::resource_exhausted(format!("no thread to compute with: {error}")))?;
        Ok(Engine { work: Some(work), thread: Some(thread) })
    }

    fn compute(&mut self, graph: *mut sys::ggml_cgraph, cancel: &CancellationToken) -> Result<()> {
        let ended = || Error::internal("the thread that computes has ended");
        let (done, status) = sync_channel(1);
        let work = Work { graph: GraphPointer(graph), cancel: cancel.clone(), done };
        self.work.as_ref().ok_or_else(ended)?.send(work).map_err(|_| ended())?;
        match status.recv().map_err(|_| ended())? {
            sys::GGML_STATUS_SUCCESS => Ok(()),
            sys::GGML_STATUS_ABORTED => Err(Error::cancelled("the step was cancelled")),
            sys::GGML_STATUS_ALLOC_FAILED => Err(out_of_memory("a step")),
            other => Err(Error::internal(format!("ggml failed with status {other}"))),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // Nothing on it panics.
            let _ = thread.join();
        }
    }
}

impl Backend {
    fn compute(&self, graph: GraphPointer, cancel: &CancellationToken) -> sys::ggml_status {
        let token = std::ptr::from_ref(cancel).cast_mut().cast();
        // SAFETY: the token outlives the computation, after which the callback is taken away again.
        unsafe { (self.set_abort)(self.backend.as_ptr(), Some(is_cancelled), token) };
        // SAFETY: the graph and everything it points to are alive and left alone until this has ended, all its inputs were
        // written, and this thread alone uses the backend.
        let status = unsafe { sys::ggml_backend_graph_compute(self.backend.as_ptr(), graph.0) };
        // SAFETY: as above.
        unsafe { (self.set_abort)(self.backend.as_ptr(), None, null_mut()) };
        status
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // SAFETY: graphs and buffers do not refer to a backend.
        unsafe { sys::ggml_backend_free(self.backend.as_ptr()) };
    }
}

/// Asked by ggml between the nodes of a graph.
unsafe extern "C" fn is_cancelled(token: *mut c_void) -> bool {
    // SAFETY: `compute` hands a token over that lives as long as the callback is set.
    unsafe { token.cast::<CancellationToken>().as_ref() }.is_some_and(CancellationToken::is_cancelled)
}

/// A value within a graph that is being built.
#[derive(Clone, Copy)]
pub struct Node<'g>(Tensor, PhantomData<&'g Builder>);

impl Node<'_> {
    /// The sizes of its dimensions, the innermost first.
    pub fn sizes(self) -> [usize; 4] {
        // SAFETY: the tensor is alive as long as the graph is being built; its shape is only read.
        unsafe { self.0.0.as_ref() }.ne.map(|size| size as usize)
    }
}

/// How tokens are rotated.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    pub dimensions: usize,
    /// Whether an element forms a pair with the one half a head later, and not with its neighbour.
    pub halves: bool,
    pub base: f32,
    pub scale: f32,
    pub original_context: usize,
}

/// A part of a tensor: sizes of its dimensions, the distances in bytes between what follows in each but the first, and where
/// it begins.
pub struct Window {
    pub sizes: [usize; 3],
    pub steps: [usize; 2],
    pub start: usize,
}

/// A graph that is being built. What is written to it is checked by ggml, which ends the process over what does not fit, so
/// that every shape follows from numbers that were checked.
pub struct Builder {
    context: Context,
    graph: NonNull<sys::ggml_cgraph>,
    weights: Arc<Weights>,
    memories: Vec<Arc<Memory>>,
    inputs: std::cell::RefCell<Vec<Tensor>>,
}

impl Builder {
    fn node(&self, tensor: *mut sys::ggml_tensor) -> Result<Node<'_>> {
        Ok(Node(Tensor::new(tensor)?, PhantomData))
    }

    /// A weight, if there is one of that name.
    pub fn find(&self, name: &str) -> Option<Node<'_>> {
        self.weights.tensors.get(name).map(|tensor| Node(*tensor, PhantomData))
    }

    /// A weight.
    pub fn weight(&self, name: &str) -> Result<Node<'_>> {
        self.find(name).ok_or_else(|| defect(name))
    }

    /// The keys of a text in a block.
    pub fn keys(&self, text: usize, block: usize) -> Result<Node<'_>> {
        let tensor = self.memories.get(text).and_then(|memory| memory.keys.get(block));
        tensor.map(|tensor| Node(*tensor, PhantomData)).ok_or_else(|| defect("keys"))
    }

    /// The values of a text in a block.
    pub fn values(&self, text: usize, block: usize) -> Result<Node<'_>> {
        let tensor = self.memories.get(text).and_then(|memory| memory.values.get(block));
        tensor.map(|tensor| Node(*tensor, PhantomData)).ok_or_else(|| defect("values"))
    }

    fn input(&self, kind: sys::ggml_type, sizes: &[usize]) -> Result<Node<'_>> {
        let tensor = self.context.tensor(kind, sizes)?;
        // SAFETY: the tensor was just made. The mark keeps its memory from being used for something else.
        unsafe { sys::ggml_set_input(tensor.pointer()) };
        self.inputs.borrow_mut().push(tensor);
        Ok(Node(tensor, PhantomData))
    }

    /// Numbers that come with each run, in the order in which inputs are asked for.
    pub fn input_f32(&self, sizes: &[usize]) -> Result<Node<'_>> {
        self.input(sys::GGML_TYPE_F32, sizes)
    }

    /// As [`input_f32`](Self::input_f32).
    pub fn input_f16(&self, sizes: &[usize]) -> Result<Node<'_>> {
        self.input(sys::GGML_TYPE_F16, sizes)
    }

    /// As [`input_f32`](Self::input_f32).
    pub fn input_i32(&self, sizes: &[usize]) -> Result<Node<'_>> {
        self.input(sys::GGML_TYPE_I32, sizes)
    }

    /// As [`input_f32`](Self::input_f32).
    pub fn input_i64(&self, sizes: &[usize]) -> Result<Node<'_>> {
        self.input(sys::GGML_TYPE_I64, sizes)
    }

    /// Has a value computed before everything that is added later.
    pub fn compute<'g>(&'g self, node: Node<'g>) {
        // SAFETY: graph and node are in the live context of this builder.
        unsafe { sys::ggml_build_forward_expand(self.graph.as_ptr(), node.0.pointer()) };
    }

    /// Marks a value that stays readable after a run.
    fn output<'g>(&'g self, node: Node<'g>) {
        // SAFETY: the node is alive.
        unsafe { sys::ggml_set_output(node.0.pointer()) };
        self.compute(node);
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident($($node:ident),+ $(; $($plain:ident: $kind:ty),+)?) = |$context:ident| $call:expr;)+) => {
        impl Builder {
            $($(#[$doc])*
            pub fn $name<'g>(&'g self, $($node: Node<'g>),+ $(, $($plain: $kind),+)?) -> Result<Node<'g>> {
                $(let $node = $node.0.pointer();)+
                let $context = self.context.pointer();
                // SAFETY: the context is alive and has room for every node of the graph, and all operands are alive: the
                // builder keeps weights and memory, and its own nodes are in its context. ggml checks their shapes.
                self.node(unsafe { $call })
            })+
        }
    };
}

operations! {
    /// Rows of `x` times the transposed matrix.
    mul_mat(matrix, x) = |context| sys::ggml_mul_mat(context, matrix, x);
    /// The sum, `other` repeated as needed.
    add(x, other) = |context| sys::ggml_add(context, x, other);
    /// The product of elements, `other` repeated as needed.
    mul(x, other) = |context| sys::ggml_mul(context, x, other);
    /// RMS normalisation of the innermost dimension.
    rms_norm(x; eps: f32) = |context| sys::ggml_rms_norm(context, x, eps);
    /// `silu(gate) · up`.
    swiglu(gate, up) = |context| sys::ggml_swiglu_split(context, gate, up);
    /// The same values in two dimensions.
    reshape_2d(x; inner: usize, outer: usize) = |context| sys::ggml_reshape_2d(context, x, inner as i64, outer as i64);
    /// The same values in three dimensions.
    reshape_3d(x; inner: usize, middle: usize, outer: usize) = |context| {
        sys::ggml_reshape_3d(context, x, inner as i64, middle as i64, outer as i64)
    };
    /// The second and the third dimension exchanged.
    exchange(x) = |context| sys::ggml_permute(context, x, 0, 2, 1, 3);
    /// The first and the second dimension exchanged, in new memory.
    transposed(x) = |context| sys::ggml_cont(context, sys::ggml_transpose(context, x));
    /// The same values one after the other in new memory, in three dimensions.
    continuous_3d(x; inner: usize, middle: usize, outer: usize) = |context| {
        sys::ggml_cont_3d(context, x, inner as i64, middle as i64, outer as i64)
    };
    /// `softmax(x · scale + mask)` over the innermost dimension.
    soft_max(x, mask; scale: f32) = |context| sys::ggml_soft_max_ext(context, x, mask, scale, 0.0);
    /// Attention in one go, accumulated in f32.
    flash_attention(query, keys, values, mask; scale: f32) = |context| {
        let attention = sys::ggml_flash_attn_ext(context, query, keys, values, mask, scale, 0.0, 0.0);
        sys::ggml_prec_set_acc(attention, sys::GGML_PREC_F32);
        attention
    };
    /// `memory` with rows replaced: where, `rows` says.
    set_rows(memory, values, rows) = |context| sys::ggml_set_rows(context, memory, values, rows);
    /// A part of a tensor, without a copy.
    view(x; window: Window) = |context| {
        let Window { sizes: [inner, middle, outer], steps: [first, second], start } = window;
        sys::ggml_view_3d(context, x, inner as i64, middle as i64, outer as i64, first, second, start)
    };
}

impl Builder {
    /// Memory in f32 for what several nodes compute, each its part.
    pub fn room(&self, sizes: &[usize]) -> Result<Node<'_>> {
        let tensor = self.context.tensor(sys::GGML_TYPE_F32, sizes)?;
        // SAFETY: the tensor was just made. The mark has it placed although no node of its own computes it.
        unsafe { sys::ggml_set_input(tensor.pointer()) };
        Ok(Node(tensor, PhantomData))
    }

    /// Has a node's values written into `room`, from its `start`-th value on, before everything that is added later.
    ///
    /// # Errors
    /// `internal` for a node that is in other memory already, is not in f32, or does not fit there.
    pub fn compute_into<'g>(&'g self, node: Node<'g>, room: Node<'g>, start: usize) -> Result<()> {
        let start = start * size_of::<f32>();
        let (tensor, pointer) = (node.0, node.0.pointer());
        // SAFETY: the node is alive, and nothing but this builder refers to it.
        let (kind, of_other) = unsafe { ((*pointer).type_, !(*pointer).view_src.is_null()) };
        if kind != sys::GGML_TYPE_F32 || of_other || start + tensor.bytes() > room.0.bytes() {
            return Err(defect("a node that is to be written elsewhere"));
        }
        // SAFETY: this is how ggml itself describes an operation whose result is a part of another tensor: its memory is
        // found by way of that tensor, which it is within.
        unsafe { ((*pointer).view_src, (*pointer).view_offs) = (room.0.pointer(), start) };
        self.compute(node);
        Ok(())
    }

    /// Rotates each head by its position, the frequencies divided by `divisors` where there are some.
    pub fn rotate<'g>(
        &'g self,
        x: Node<'g>,
        positions: Node<'g>,
        divisors: Option<Node<'g>>,
        rotation: Rotation,
    ) -> Result<Node<'g>> {
        let divisors = divisors.map_or(null_mut(), |node| node.0.pointer());
        let kind = if rotation.halves { sys::LLAMA_ROPE_TYPE_NEOX } else { sys::LLAMA_ROPE_TYPE_NORM };
        // SAFETY: as for the other operations; without divisors ggml takes null.
        let rotated = unsafe {
            sys::ggml_rope_ext(
                self.context.pointer(),
                x.0.pointer(),
                positions.0.pointer(),
                divisors,
                rotation.dimensions as c_int,
                kind as c_int,
                rotation.original_context as c_int,
                rotation.base,
                rotation.scale,
                0.0,
                1.0,
                32.0,
                1.0,
            )
        };
        self.node(rotated)
    }
}

/// What one input is given for a run.
pub enum Input<'a> {
    F32(&'a [f32]),
    F16(&'a [half::f16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
}

/// A graph with the memory that it computes in.
pub struct Graph {
    graph: NonNull<sys::ggml_cgraph>,
    inputs: Vec<Tensor>,
    output: Tensor,
    // In the order in which they are dropped.
    _places: Places,
    _context: Context,
    _memories: Vec<Arc<Memory>>,
    _weights: Arc<Weights>,
}

// SAFETY: everything that it points to is its own or kept by it, and a run needs it exclusively.
unsafe impl Send for Graph {}

/// The memory of what is computed between inputs and output.
struct Places(NonNull<sys::ggml_gallocr>);

impl Drop for Places {
    fn drop(&mut self) {
        // SAFETY: the graph whose values are there goes together with it.
        unsafe { sys::ggml_gallocr_free(self.0.as_ptr()) };
    }
}

impl Graph {
    /// Builds a graph of at most `nodes` nodes over the memories of some texts, whose last value `build` returns.
    pub fn build(
        device: Device,
        nodes: usize,
        weights: Arc<Weights>,
        memories: Vec<Arc<Memory>>,
        build: impl for<'g> FnOnce(&'g Builder) -> Result<Node<'g>>,
    ) -> Result<Graph> {
        // Views and reshaped values are tensors and no nodes of their own in some cases; twice the room is enough.
        let context = Context::new(2 * nodes, nodes)?;
        // SAFETY: the context is alive and was made with room for a graph of this size.
        let graph = unsafe { sys::ggml_new_graph_custom(context.pointer(), nodes, false) };
        let graph = NonNull::new(graph).ok_or_else(|| out_of_memory("a graph"))?;
        let builder = Builder { context, graph, weights, memories, inputs: Vec::new().into() };
        let output = {
            let output = build(&builder)?;
            builder.output(output);
            output.0
        };
        // SAFETY: the type of memory belongs to the device, which lives as long as the process.
        let places = unsafe { sys::ggml_gallocr_new(device.memory()) };
        let places = Places(NonNull::new(places).ok_or_else(|| out_of_memory("a graph"))?);
        // SAFETY: the graph is complete and alive. Weights and memory have buffers and keep them.
        if !unsafe { sys::ggml_gallocr_alloc_graph(places.0.as_ptr(), graph.as_ptr()) } {
            return Err(out_of_memory("what a step computes"));
        }
        let Builder { context, weights, memories, inputs, .. } = builder;
        Ok(Graph {
            graph,
            inputs: inputs.into_inner(),
            output,
            _places: places,
            _context: context,
            _memories: memories,
            _weights: weights,
        })
    }

    /// Computes the output from one value for each input, in the order of their making.
    ///
    /// # Errors
    /// `cancelled`, once `cancel` has come; `internal` for inputs of other sizes.
    pub fn run(&mut self, engine: &mut Engine, inputs: &[Input], cancel: &CancellationToken) -> Result<Vec<f32>> {
        if inputs.len() != self.inputs.len() {
            return Err(defect("other inputs"));
        }
        for (tensor, input) in self.inputs.iter().zip(inputs) {
            tensor.set(match input {
                Input::F32(values) => as_bytes(values),
                Input::F16(values) => as_bytes(values),
                Input::I32(values) => as_bytes(values),
                Input::I64(values) => as_bytes(values),
            })?;
        }
        engine.compute(self.graph.as_ptr(), cancel)?;
        let size = self.output.bytes();
        let mut values = vec![0.0f32; size / size_of::<f32>()];
        // SAFETY: the output is in f32 and marked to stay; as many bytes are written as the vector has.
        unsafe { sys::ggml_backend_tensor_get(self.output.pointer(), values.as_mut_ptr().cast(), 0, size) };
        Ok(values)
    }
}
