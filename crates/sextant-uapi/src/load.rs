//! From bytes to a loaded scheduler: [`open`], set globals, [`Opened::load`].
//!
//! Steps of `open`: 1. the hook is proven; 2. the ELF is whole; 3. libbpf opens it; 4. one ops table is chosen; 5. what
//! schedulers' own loaders do is done (enums, flags and ops that 7.3 lacks, programs without a target).
//! Steps of `load`: 1. no strong kfunc is missing; 2. libbpf loads, bpf(2) answers; 3. it attaches; 4. what was attached is read
//! out of the kernel, and libbpf's object is closed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use libbpf_rs::{AsRawLibbpf, MapCore, MapType, Object, ObjectBuilder, OpenObject, OpenProgramMut};
use sextant_abi::tables::{Op, PERCPU_VARS, PercpuVar, TRACE_TARGETS, TracePoint, kconfig};
use sextant_bpf::btf::{Btf, KindTag, TypeId, core};
use sextant_bpf::vmlinux::Vmlinux;
use sextant_vm::{MapId, Mark, ProgId, Vm};

use crate::errno::Errno;
use crate::error::LoadError;
use crate::facts::{self, Facts};
use crate::globals::{self, Enumerators, SetError, Step};
use crate::inspect::{ExternKind, extern_kind};
use crate::kernel::{Kernel, KernelConfig, ProgObject, ProgType, with_kernel};
use crate::loaded::{Globals, Loaded, LoadedOps, OtherProg};
use crate::ops_table::{self, OpsTable};
use crate::shown::MapTypes;
use crate::{elf, hook, print, types, user};

/// `UEI_DUMP_DFL_LEN` of the schedulers' headers: room for the exit dump, bytes.
const UEI_DUMP_DFL_LEN: u32 = 32768;

/// How to open an object.
#[derive(Clone)]
pub struct OpenOptions {
    /// The object's name: a file stem. libbpf names data maps after it.
    pub name: String,
    /// Which ops table, when there are several.
    pub ops: Option<String>,
    /// The emulated machine's possible CPUs.
    pub nr_cpus: u32,
    /// The emulated kernel's types and kfuncs.
    pub vmlinux: Rc<Vmlinux>,
}

/// An object libbpf has opened: globals can be set and read, nothing is loaded.
pub struct Opened {
    pub(crate) obj: OpenObject,
    pub(crate) kernel: Rc<Kernel>,
    /// The object's types, offsets of sections fixed up.
    pub(crate) btf: Btf,
    pub(crate) facts: Facts,
    pub(crate) tables: Vec<OpsTable>,
    pub(crate) table: OpsTable,
    /// Map of a data section, as its index in libbpf's order.
    sections: BTreeMap<TypeId, usize>,
    /// Arrays of maps whose first elements get maps of their own.
    inner: Vec<(String, u32)>,
    /// Programs whose target was set.
    targets: BTreeSet<String>,
    warnings: Vec<String>,
}

/// Opens an object.
///
/// # Errors
/// What is wrong with it, where, and what to try.
pub fn open(bytes: &[u8], options: &OpenOptions) -> Result<Opened, LoadError> {
    hook::prove()?;
    user::prove()?;
    elf::check(bytes)?;
    types::check(bytes)?;
    let facts = facts::read(bytes)?;
    let kernel = Kernel::new(KernelConfig { nr_cpus: options.nr_cpus, vmlinux: options.vmlinux.clone() });
    let (opened, messages) = print::catching(|| with_kernel(&kernel, || open_object(bytes, &options.name)));
    let obj = opened.map_err(|e| LoadError::Open { errno: e.to_string(), messages })?;
    // SAFETY: the object is open.
    let version = unsafe { libbpf_sys::bpf_object__kversion(obj.as_libbpf_object().as_ptr()) };
    if version != kconfig::LINUX_KERNEL_VERSION {
        return Err(hook::NotHooked { call: "uname" }.into());
    }
    let btf = object_btf(&obj)?;
    let tables = ops_table::tables(&btf);
    let table = ops_table::choose(&tables, options.ops.as_deref())?;
    let sections = sections(&obj);
    let mut opened = Opened {
        obj,
        kernel,
        btf,
        facts,
        tables,
        table,
        sections,
        inner: Vec::new(),
        targets: BTreeSet::new(),
        warnings: Vec::new(),
    };
    opened.prepare();
    Ok(opened)
}

fn open_object(bytes: &[u8], name: &str) -> libbpf_rs::Result<OpenObject> {
    let mut builder = ObjectBuilder::default();
    builder.name(name)?;
    // libbpf reads the file's structures where they lie.
    let mut aligned = vec![0u64; bytes.len().div_ceil(8)];
    for (word, chunk) in aligned.iter_mut().zip(bytes.chunks(8)) {
        let mut le = [0; 8];
        le[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_ne_bytes(le);
    }
    // SAFETY: the words hold `bytes.len()` initialised bytes.
    let bytes = unsafe { std::slice::from_raw_parts(aligned.as_ptr().cast::<u8>(), bytes.len()) };
    builder.open_memory(bytes)
}

/// The object's BTF as libbpf has fixed it up.
fn object_btf(obj: &OpenObject) -> Result<Btf, LoadError> {
    let mut size = 0;
    // SAFETY: the object is open; its BTF lives as long as it, and the bytes are copied before anything changes it.
    let bytes = unsafe {
        let btf = libbpf_sys::bpf_object__btf(obj.as_libbpf_object().as_ptr());
        let data = if btf.is_null() { std::ptr::null() } else { libbpf_sys::btf__raw_data(btf, &mut size) };
        if data.is_null() {
            return Err(LoadError::Btf { why: "libbpf has none".into() });
        }
        let bytes = std::slice::from_raw_parts(data.cast::<u8>(), size as usize).to_vec();
        // libbpf keeps the bytes it has just made and would load them although it changes the types behind them later
        // (`__hidden` functions become static): adding a string, here the empty one, makes it drop them.
        libbpf_sys::btf__add_str(btf, c"".as_ptr());
        bytes
    };
    Btf::parse(&bytes).map_err(|e| LoadError::Btf { why: e.to_string() })
}

fn sections(obj: &OpenObject) -> BTreeMap<TypeId, usize> {
    let mut sections = BTreeMap::new();
    for (index, map) in obj.maps().enumerate().filter(|(_, m)| m.map_type() != MapType::StructOps) {
        let ptr = map.as_libbpf_object().as_ptr();
        // SAFETY: the map belongs to an open object.
        let (internal, ty) =
            unsafe { (libbpf_sys::bpf_map__is_internal(ptr), libbpf_sys::bpf_map__btf_value_type_id(ptr)) };
        if internal && ty != 0 {
            sections.insert(TypeId(ty), index);
        }
    }
    sections
}

impl Opened {
    /// What was dropped or left out, and why.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Name of the chosen ops table's map.
    pub fn ops_map(&self) -> &str {
        &self.table.map
    }

    /// The object's types.
    pub fn btf(&self) -> &Btf {
        &self.btf
    }

    fn prepare(&mut self) {
        let Opened { obj, btf, table, tables, kernel, warnings, .. } = self;
        ops_table::keep_only(obj, table, tables, warnings);
        ops_table::mend(obj, btf, table, kernel, warnings);
        self.fill_enums();
        self.leave_out_untargeted();
    }

    /// `const volatile u64 __SCX_X`: the kernel's value of `SCX_X`, as SCX_ENUM_INIT does.
    fn fill_enums(&mut self) {
        for var in globals::vars(&self.btf) {
            let name = var.name.strip_prefix("__").filter(|n| n.starts_with("SCX_"));
            let Some(value) = name.and_then(|n| self.kernel.btf().enumerator(n)) else { continue };
            let size = var.size as usize;
            if var.section.starts_with(".rodata")
                && let Some(bytes) = self.section_mut(var.section_id)
                && let Some(to) = bytes.get_mut(var.offset as usize..var.offset as usize + size)
                && matches!(size, 4 | 8)
            {
                to.copy_from_slice(&value.to_le_bytes()[..size]);
            }
        }
    }

    /// Programs that attach to something the kernel here does not have.
    fn leave_out_untargeted(&mut self) {
        let Opened { obj, kernel, warnings, .. } = self;
        for mut prog in obj.progs_mut() {
            let section = prog.section().to_string_lossy().into_owned();
            let Some((name, kind)) = target(&section) else { continue };
            if prog.autoload() && kernel.btf().find(&name, kind).is_none() {
                prog.set_autoload(false);
                let prog = prog.name().to_string_lossy();
                warnings
                    .push(format!("program '{prog}' ({section}) is left out: the kernel here has no {name}"));
            } else if prog.autoload()
                && !matches!(kind, KindTag::Typedef)
                && !section.contains("fentry")
                && !section.contains("iter")
            {
                let prog = prog.name().to_string_lossy();
                warnings.push(format!(
                    "program '{prog}' ({section}) is loaded and never runs: of programs on functions only fentry ones do"
                ));
            }
        }
    }

    /// Programs that attach to what their own program tells at run time (`SEC("fentry")`), which nobody has told.
    fn leave_out_unattached(&mut self) {
        let Opened { obj, targets, warnings, .. } = self;
        for mut prog in obj.progs_mut() {
            let section = prog.section().to_string_lossy().into_owned();
            let kind = section.trim_start_matches('?').trim_end_matches(".s");
            let name = prog.name().to_string_lossy().into_owned();
            let open =
                matches!(kind, "fentry" | "fexit" | "fmod_ret" | "fsession" | "tp_btf" | "iter" | "lsm");
            if open && prog.autoload() && !targets.contains(&name) {
                prog.set_autoload(false);
                warnings.push(format!(
                    "program '{name}' ({section}) is left out: the scheduler's own program says what it attaches to (a setup can: \
                     [programs.{name}] target = \"FUNCTION\")"
                ));
            }
        }
    }

    /// Whether a program is loaded, as its scheduler's own program decides (`bpf_program__set_autoload`).
    ///
    /// # Errors
    /// There is no such program (with suggestions).
    pub fn set_autoload(&mut self, prog: &str, load: bool) -> Result<(), SetError> {
        self.program(prog)?.set_autoload(load);
        Ok(())
    }

    /// What a tracing program attaches to (`bpf_program__set_attach_target`); it is loaded.
    ///
    /// # Errors
    /// There is no such program (with suggestions), it attaches to nothing, or the kernel here has no such function.
    pub fn set_target(&mut self, prog: &str, target: &str) -> Result<(), SetError> {
        let kernel = self.kernel.clone();
        let mut found = self.program(prog)?;
        let why = |why: String| SetError::ReadOnly { path: format!("program {prog}"), why };
        let done = with_kernel(&kernel, || found.set_attach_target(0, Some(target.to_owned())));
        done.map_err(|e| why(format!("it does not attach to '{target}': {e}")))?;
        found.set_autoload(true);
        if kernel.btf().find(target, KindTag::Func).is_none()
            && kernel.btf().find(&format!("btf_trace_{target}"), KindTag::Typedef).is_none()
        {
            return Err(why(format!("the kernel here has no {target} to attach to")));
        }
        self.targets.insert(prog.to_owned());
        Ok(())
    }

    fn program(&mut self, name: &str) -> Result<OpenProgramMut<'_>, SetError> {
        let all: Vec<String> = self.obj.progs().map(|p| p.name().to_string_lossy().into_owned()).collect();
        let near = globals::nearest(name, all.iter().map(String::as_str));
        let found = self.obj.progs_mut().find(|p| p.name() == name);
        found.ok_or_else(|| SetError::UnknownProgram { name: name.to_owned(), near })
    }

    fn section_mut(&mut self, section: TypeId) -> Option<&mut [u8]> {
        let index = *self.sections.get(&section)?;
        let mut map = self.obj.maps_mut().nth(index)?;
        let bytes = map.initial_value_mut()?;
        let (ptr, len) = (bytes.as_mut_ptr(), bytes.len());
        // SAFETY: the image belongs to the object, which `self` borrows mutably as long as the slice lives; only the
        // wrapper `map` goes out of scope here, and dropping it does nothing.
        Some(unsafe { std::slice::from_raw_parts_mut(ptr, len) })
    }

    /// The image of a data section before the load. A large one is mostly zero pages: it is not copied.
    pub(crate) fn section(&self, section: TypeId) -> Option<&[u8]> {
        let index = *self.sections.get(&section)?;
        let map = self.obj.maps().nth(index)?;
        let bytes = map.initial_value()?;
        // SAFETY: the image belongs to the object, which `self` borrows as long as the slice lives; only the wrapper `map`
        // goes out of scope here, and dropping it does nothing.
        Some(unsafe { std::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) })
    }

    /// Sets a global, an ops member (`ops.timeout_ms`) or a map's size (`map:NAME.max_entries`); see [`globals`] for the
    /// syntax.
    ///
    /// # Errors
    /// Unknown name (with suggestions), or a value that is not of the type (which is named).
    pub fn set(&mut self, path: &str, value: &str) -> Result<(), SetError> {
        if let Some(rest) = path.strip_prefix("map:") {
            return self.set_map(path, rest, value);
        }
        if let Some(member) = path.strip_prefix("ops.") {
            return self.set_ops(path, member, value);
        }
        let (name, steps) = globals::parse_path(path)?;
        let var = globals::find_var(&self.btf, &name)?;
        if steps.is_empty() && value.trim_start().starts_with('[') {
            self.resize_to_fit(path, &var, value)?;
        }
        let var = globals::find_var(&self.btf, &name)?;
        let kernel = self.kernel.clone();
        let btf = self.btf.clone();
        let names = Enumerators { object: &btf, kernel: kernel.btf(), nr_cpus: kernel.nr_cpus() };
        let place = globals::walk(&btf, path, var.ty, &steps)?;
        let section = self.section_mut(var.section_id).ok_or_else(|| SetError::ReadOnly {
            path: path.to_string(),
            why: format!("section {} has no image before the load", var.section),
        })?;
        write_place(&names, path, place, var.offset as usize, section, value)
    }

    /// Gives a section that holds nothing but this array room for the values, as RESIZE_ARRAY does.
    fn resize_to_fit(&mut self, path: &str, var: &globals::Var, value: &str) -> Result<(), SetError> {
        let bad = |why: String| SetError::Value {
            path: path.to_string(),
            ty: self.btf.type_name(var.ty),
            value: value.to_string(),
            why,
        };
        let Some((elem, nelems)) = globals::array(&self.btf, var.ty) else { return Ok(()) };
        let custom = [".data.", ".rodata.", ".bss."].iter().any(|p| var.section.starts_with(p));
        if !custom || !var.alone {
            return Ok(());
        }
        let names =
            Enumerators { object: &self.btf, kernel: self.kernel.btf(), nr_cpus: self.kernel.nr_cpus() };
        let count = globals::element_count(&names, value.trim()).map_err(bad)?;
        if count == nelems as usize {
            return Ok(());
        }
        let size = self.btf.size_of(elem).unwrap_or(0) * count as u64;
        if size == 0 || size > i32::MAX as u64 {
            return Err(bad(format!("the section would be {size} bytes")));
        }
        self.resize(path, var, size as u32)
    }

    fn resize(&mut self, path: &str, var: &globals::Var, size: u32) -> Result<(), SetError> {
        let failed = |why: String| SetError::ReadOnly { path: path.to_string(), why };
        let index = self.sections.get(&var.section_id).copied();
        let map = index.and_then(|index| self.obj.maps_mut().nth(index));
        let mut map = map.ok_or_else(|| failed(format!("section {} has no map", var.section)))?;
        let kernel = self.kernel.clone();
        let (done, messages) = print::catching(|| with_kernel(&kernel, || map.set_value_size(size)));
        done.map_err(|e| failed(format!("{e} {}", messages.join("; "))))?;
        self.btf = object_btf(&self.obj).map_err(|e| failed(e.to_string()))?;
        Ok(())
    }

    fn set_map(&mut self, path: &str, rest: &str, value: &str) -> Result<(), SetError> {
        let read_only = |why: &str| SetError::ReadOnly { path: path.to_string(), why: why.to_string() };
        let Some((name, what @ ("max_entries" | "inner"))) = rest.rsplit_once('.') else {
            return Err(read_only("only map:NAME.max_entries and map:NAME.inner can be"));
        };
        let kernel = self.kernel.clone();
        let names = Enumerators { object: &self.btf, kernel: kernel.btf(), nr_cpus: kernel.nr_cpus() };
        let count = globals::parse_u32(&names, path, value)?;
        let all: Vec<String> = self.obj.maps().map(|m| m.name().to_string_lossy().into_owned()).collect();
        let Some(mut map) = self.obj.maps_mut().find(|m| m.name() == name) else {
            let near = globals::nearest(name, all.iter().map(String::as_str));
            return Err(SetError::UnknownMap { name: name.to_string(), near });
        };
        if what == "max_entries" {
            return map.set_max_entries(count).map_err(|e| read_only(&e.to_string()));
        }
        if map.map_type() != MapType::ArrayOfMaps {
            return Err(read_only("only an array of maps has inner maps by number"));
        }
        self.inner.push((name.to_string(), count));
        Ok(())
    }

    fn set_ops(&mut self, path: &str, member: &str, value: &str) -> Result<(), SetError> {
        let kernel = self.kernel.clone();
        let btf = self.btf.clone();
        let names = Enumerators { object: &btf, kernel: kernel.btf(), nr_cpus: kernel.nr_cpus() };
        let steps = globals::parse_path(member).map(|(name, mut steps)| {
            steps.insert(0, Step::Field(name));
            steps
        })?;
        let place = globals::walk(&btf, path, self.table.ty, &steps)?;
        let missing =
            || SetError::ReadOnly { path: path.to_string(), why: "the ops table has no image".into() };
        let table = self.table.map.clone();
        let mut map = ops_table::map_mut(&mut self.obj, &table).ok_or_else(missing)?;
        let bytes = map.initial_value_mut().ok_or_else(missing)?;
        let is_ptr = btf.resolve(place.ty).is_ok_and(|ty| btf.kind(ty).tag() == KindTag::Ptr);
        if is_ptr && matches!(value.trim(), "0" | "null" | "NULL") {
            let at = (place.bit_offset / 8) as usize;
            bytes[at..at + 8].fill(0);
            return Ok(());
        }
        write_place(&names, path, place, 0, bytes, value)
    }

    /// A global's value as text, in the syntax of [`Opened::set`].
    ///
    /// # Errors
    /// Unknown name, with suggestions.
    pub fn get(&self, path: &str) -> Result<String, SetError> {
        let (name, steps) = globals::parse_path(path)?;
        let var = globals::find_var(&self.btf, &name)?;
        let place = globals::walk(&self.btf, path, var.ty, &steps)?;
        let bytes = self.section(var.section_id).unwrap_or_default();
        Ok(render_place(&self.btf, place, bytes.get(var.offset as usize..).unwrap_or_default()))
    }

    /// The kernel functions the object cannot do without and that are not there.
    pub fn missing_kfuncs(&self) -> Vec<String> {
        let missing = |(name, weak): (&String, &bool)| {
            let wanted = facts::essential_name(name);
            let is_func = globals::refers_to_kfunc(&self.btf, name);
            let kernel = self.kernel.btf();
            let there = [name.as_str(), wanted].iter().any(|n| kernel.find(n, KindTag::Func).is_some());
            (is_func && !weak && !there).then(|| wanted.to_string())
        };
        self.facts.externs.iter().filter_map(missing).collect()
    }

    /// The per-CPU kernel variables the object refers to, as far as they are there.
    pub fn kernel_vars(&self) -> Vec<&'static PercpuVar> {
        let wanted =
            |var: &&PercpuVar| self.facts.externs.keys().any(|name| facts::essential_name(name) == var.name);
        PERCPU_VARS.iter().filter(wanted).collect()
    }

    /// The kernel variables the object cannot do without and that are not there.
    pub fn missing_ksyms(&self) -> Vec<String> {
        let missing = |(name, weak): (&String, &bool)| {
            let name = name.as_str();
            let is_var = self.btf.find(name, KindTag::Var).is_some()
                && extern_kind(&self.btf, name) == ExternKind::Ksym;
            let there = self.kernel.btf().find(facts::essential_name(name), KindTag::Var).is_some();
            (is_var && !weak && !there).then(|| name.to_string())
        };
        self.facts.externs.iter().filter_map(missing).collect()
    }

    /// The kernel that answers for it.
    pub fn kernel(&self) -> Rc<Kernel> {
        self.kernel.clone()
    }

    /// Loads and attaches it: maps and programs go to `vm`. `ksyms` are the kernel variables programs may refer to.
    ///
    /// # Errors
    /// A missing kfunc; a refused program, in the verifier's words; anything libbpf stumbles over.
    pub fn load(mut self, vm: Rc<Vm>, ksyms: Vec<(String, u64)>) -> Result<Loaded, LoadError> {
        let names = self.missing_kfuncs();
        if !names.is_empty() {
            return Err(LoadError::MissingKfunc { names });
        }
        let names = self.missing_ksyms();
        if !names.is_empty() {
            return Err(LoadError::MissingKsym { names });
        }
        self.size_exit_dump()?;
        self.leave_out_unattached();
        self.kernel.set_vm(vm.clone(), ksyms);
        let before = vm.mark();
        let loaded = self.load_into(&vm, before);
        if loaded.is_err() {
            vm.free_between(before, vm.mark());
        }
        loaded
    }

    fn load_into(self, vm: &Rc<Vm>, before: Mark) -> Result<Loaded, LoadError> {
        let Opened { obj, kernel, btf, facts, table, sections, inner, warnings, .. } = self;
        let (loaded, messages) = print::catching(|| with_kernel(&kernel, || obj.load()));
        let mut object = loaded.map_err(|e| failure("load", &kernel, &e, messages))?;
        let (maps, sections) = read_maps(&kernel, &object, &sections);
        for (name, count) in inner {
            fill_inner(vm, &maps, &name, count)?;
        }
        attach(&mut object, &table, &kernel)?;
        let ops = read_ops(&kernel, &table, &btf, &facts)?;
        let other_progs = other_progs(&kernel, &object);
        let map_types = map_types(&kernel, &object);
        with_kernel(&kernel, || drop(object));
        let (objects, globals) = ((before, vm.mark()), Globals::new(vm.clone(), btf, sections));
        Ok(Loaded { vm: vm.clone(), ops, other_progs, maps, map_types, objects, globals, kernel, warnings })
    }

    /// Makes room for the exit dump where a scheduler has a buffer for it (UEI_SET_SIZE), unless that was set.
    fn size_exit_dump(&mut self) -> Result<(), SetError> {
        let wanted = self.ops_int("exit_dump_len").filter(|&len| len != 0).unwrap_or(UEI_DUMP_DFL_LEN.into());
        for var in globals::vars(&self.btf) {
            let len_name = format!("{}_len", var.name);
            let is_dump =
                var.name.ends_with("_dump") && var.section == format!(".data.{}", var.name) && var.alone;
            if !is_dump || self.get(&len_name).is_ok_and(|len| len != "0") || self.get(&len_name).is_err() {
                continue;
            }
            // A length that no map can have stays the kernel's to refuse, at the attach.
            if self.resize(&var.name.clone(), &var, wanted as u32).is_err() {
                continue;
            }
            self.set(&len_name, &wanted.to_string())?;
        }
        Ok(())
    }

    /// An integer member of the ops table.
    pub(crate) fn ops_int(&self, name: &str) -> Option<u64> {
        let field = self.btf.field(self.table.ty, name).ok()??;
        let wanted = self.table.map.as_str();
        let map = self.obj.maps().find(|m| m.map_type() == MapType::StructOps && m.name() == wanted)?;
        let bytes = map.initial_value()?;
        let at = ops_table::range(&self.btf, &field, bytes.len())?;
        let mut word = [0; 8];
        let len = at.len().min(8);
        word[..len].copy_from_slice(&bytes[at][..len]);
        Some(u64::from_le_bytes(word))
    }
}

/// What a program of this section attaches to: name and kind in the kernel's BTF.
fn target(section: &str) -> Option<(String, KindTag)> {
    let (kind, name) = section.trim_start_matches('?').split_once('/')?;
    Some(match kind.trim_end_matches(".s") {
        "fentry" | "fexit" | "fmod_ret" | "fsession" => (name.to_string(), KindTag::Func),
        "tp_btf" => (format!("btf_trace_{name}"), KindTag::Typedef),
        "iter" => (format!("bpf_iter_{name}"), KindTag::Func),
        "lsm" | "lsm_cgroup" => (format!("bpf_lsm_{name}"), KindTag::Func),
        _ => return None,
    })
}

pub(crate) fn write_place(
    names: &Enumerators<'_>,
    path: &str,
    place: globals::Place,
    base: usize,
    image: &mut [u8],
    value: &str,
) -> Result<(), SetError> {
    let start = base + (place.bit_offset / 8) as usize;
    let size = names.object.size_of(place.ty).unwrap_or(0) as usize;
    let field = (place.bits > 0).then_some(((place.bit_offset % 8) as u32, place.bits));
    let size = field.map_or(size, |(shift, bits)| (shift + u32::from(bits)).div_ceil(8) as usize);
    let out = image.get_mut(start..start + size).ok_or_else(|| SetError::ReadOnly {
        path: path.to_string(),
        why: "it lies outside of its section".into(),
    })?;
    globals::parse_into(names, path, place.ty, field, value, out)
}

pub(crate) fn render_place(btf: &Btf, place: globals::Place, var: &[u8]) -> String {
    let start = (place.bit_offset / 8) as usize;
    let size = btf.size_of(place.ty).unwrap_or(0) as usize;
    let bytes = var.get(start..).unwrap_or_default();
    if place.bits > 0 {
        return globals::render_bits(btf, place.ty, bytes, (place.bit_offset % 8) as u32, place.bits);
    }
    globals::render(btf, place.ty, &bytes[..size.min(bytes.len())])
}

fn failure(
    step: &'static str,
    kernel: &Kernel,
    error: &libbpf_rs::Error,
    messages: Vec<String>,
) -> LoadError {
    if let Some(refusal) = kernel.refusals().pop() {
        let log = print::verifier_log(&messages).filter(|log| !log.is_empty());
        return LoadError::Refused {
            prog: refusal.prog,
            errno: refusal.errno.to_string(),
            log: log.unwrap_or(refusal.log),
        };
    }
    let mut all = kernel.notes();
    let skip = messages.len().saturating_sub(4);
    all.extend(messages.into_iter().skip(skip));
    let last = kernel.calls().into_iter().rev().find(|&(_, answer)| answer < 0);
    let errno = last.map_or_else(|| error.to_string(), |(_, answer)| Errno(-answer).to_string());
    LoadError::Load { step, errno, messages: all }
}

fn attach(object: &mut Object, table: &OpsTable, kernel: &Rc<Kernel>) -> Result<(), LoadError> {
    let found =
        object.maps_mut().find(|m| m.map_type() == MapType::StructOps && m.name() == table.map.as_str());
    let Some(mut map) = found else {
        return Err(LoadError::UnknownOps { name: table.map.clone(), have: Vec::new() });
    };
    let (link, messages) = print::catching(|| with_kernel(kernel, || map.attach_struct_ops()));
    let link = link.map_err(|e| failure("attach", kernel, &e, messages))?;
    // The link says nothing more: the simulated machine attaches and detaches the class itself.
    with_kernel(kernel, || drop(link));
    Ok(())
}

/// New maps as the object declares them, for the first elements of an array of maps.
fn fill_inner(vm: &Vm, maps: &BTreeMap<String, MapId>, name: &str, count: u32) -> Result<(), LoadError> {
    let made = maps.get(name).map_or(Err(sextant_vm::Errno::ENOENT), |&map| vm.map_fill_inner(map, count));
    made.map_err(|errno| LoadError::Load {
        step: "load",
        errno: Errno::from(errno).to_string(),
        messages: vec![format!("the first {count} elements of map '{name}' could not be given maps")],
    })
}

/// Whether the object is of the first generation: it attaches as if partial, and `scx_bpf_switch_all` lifts that. One that asks whether the
/// kernel has SCX_OPS_SWITCH_PARTIAL knows the later convention too, which holds here: its call is dead.
fn wants_switch_all(kernel: &Kernel, btf: &Btf, facts: &Facts) -> bool {
    let switch_all = "scx_bpf_switch_all";
    let refers = facts.externs.keys().any(|name| facts::essential_name(name) == switch_all)
        && globals::refers_to_kfunc(btf, switch_all);
    let flag = "enum scx_ops_flags.SCX_OPS_SWITCH_PARTIAL";
    let needs = facts.relos.iter().filter_map(|relo| core::need(btf, relo, kernel.btf()));
    refers && !needs.into_iter().any(|need| need.asks && need.what == flag)
}

fn read_ops(kernel: &Kernel, table: &OpsTable, btf: &Btf, facts: &Facts) -> Result<LoadedOps, LoadError> {
    let map = kernel.maps().into_iter().find(|m| m.is_struct_ops() && m.struct_ops.borrow().is_some());
    let value = map.and_then(|m| m.struct_ops.borrow().clone());
    let value = value.ok_or_else(|| LoadError::Load {
        step: "attach",
        errno: "no value".into(),
        messages: vec![format!("the ops table '{}' was not filled in", table.map)],
    })?;
    let int = |name: &str| value.ints.get(name).copied().unwrap_or(0);
    let progs: BTreeMap<String, ProgId> =
        value.progs.iter().filter_map(|(member, prog)| Some((member.clone(), prog.in_vm?))).collect();
    let by_op = progs.iter().filter_map(|(member, &prog)| Some((Op::from_name(member)?, prog))).collect();
    Ok(LoadedOps {
        map: table.map.clone(),
        cid_form: value.struct_name == "sched_ext_ops_cid",
        name: value.name.clone(),
        flags: int("flags"),
        dispatch_max_batch: int("dispatch_max_batch") as u32,
        timeout_ms: int("timeout_ms") as u32,
        exit_dump_len: int("exit_dump_len") as u32,
        hotplug_seq: int("hotplug_seq"),
        cid_shard_size: int("cid_shard_size") as u32,
        sub_cgroup_id: int("sub_cgroup_id"),
        progs: by_op,
        members: progs,
        calls_switch_all: wants_switch_all(kernel, btf, facts),
    })
}

type Maps = (BTreeMap<String, MapId>, BTreeMap<TypeId, MapId>);

/// Maps by libbpf's name, and data sections by their DATASEC.
fn read_maps(kernel: &Rc<Kernel>, object: &Object, sections: &BTreeMap<TypeId, usize>) -> Maps {
    let ids: Vec<(String, Option<MapId>)> = object
        .maps()
        .map(|map| {
            // SAFETY: the map belongs to a loaded object.
            let fd = unsafe { libbpf_sys::bpf_map__fd(map.as_libbpf_object().as_ptr()) };
            let id = kernel.map_at(fd).ok().and_then(|m| m.in_vm.get().copied());
            (map.name().to_string_lossy().into_owned(), id)
        })
        .collect();
    let of_section = sections.iter().filter_map(|(&ty, &index)| Some((ty, ids.get(index)?.1?))).collect();
    let by_name = ids.into_iter().filter_map(|(name, id)| Some((name, id?))).collect();
    (by_name, of_section)
}

/// Types of the maps' keys and values, by libbpf's name of the map.
fn map_types(kernel: &Rc<Kernel>, object: &Object) -> BTreeMap<String, MapTypes> {
    let types = |map: libbpf_rs::Map| {
        // SAFETY: the map belongs to a loaded object.
        let fd = unsafe { libbpf_sys::bpf_map__fd(map.as_libbpf_object().as_ptr()) };
        let made = kernel.map_at(fd).ok()?;
        let btf = kernel.btf_by_id(made.btf_id);
        let (key, value) = (TypeId(made.btf_key_type_id), TypeId(made.btf_value_type_id));
        Some((map.name().to_string_lossy().into_owned(), MapTypes { btf, key, value }))
    };
    object.maps().filter_map(types).collect()
}

/// `BPF_TRACE_RAW_TP`, `BPF_TRACE_FENTRY`: programs that run where their target begins.
const TRACE_RAW_TP: u32 = 23;
const TRACE_FENTRY: u32 = 24;

/// Where a tracing program runs.
fn trace_point(kernel: &Kernel, prog: &ProgObject) -> Option<TracePoint> {
    let entered = matches!(prog.expected_attach_type, TRACE_RAW_TP | TRACE_FENTRY);
    let attached = prog.prog_type == ProgType::TRACING && entered && prog.attach_btf_id != 0;
    let name = kernel.btf().name(TypeId(prog.attach_btf_id));
    TRACE_TARGETS.iter().find(|t| attached && t.name == name).map(|t| t.point)
}

/// Programs beside the ops, in libbpf's order.
fn other_progs(kernel: &Rc<Kernel>, object: &Object) -> Vec<OtherProg> {
    let mut found = Vec::new();
    for prog in object.progs() {
        let ptr = prog.as_libbpf_object().as_ptr();
        // SAFETY: the program belongs to a loaded object.
        let fd = unsafe { libbpf_sys::bpf_program__fd(ptr) };
        let Ok(loaded) = kernel.prog_at(fd) else { continue };
        if loaded.prog_type == ProgType::STRUCT_OPS {
            continue;
        }
        found.push(OtherProg {
            name: prog.name().to_string_lossy().into_owned(),
            section: prog.section().to_string_lossy().into_owned(),
            prog_type: loaded.prog_type,
            trace: trace_point(kernel, &loaded),
            id: loaded.in_vm,
        });
    }
    found
}
