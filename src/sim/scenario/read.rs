//! TOML to values, with errors that say which key is wrong and what it may be.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

use crate::base::Span;
use crate::sim::Unfit;

/// What is wrong with a scenario: the key, and what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    path: String,
    why: String,
}

impl ScenarioError {
    pub(super) fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            why: why.into(),
        }
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.why)
        } else {
            write!(f, "{}: {}", self.path, self.why)
        }
    }
}

impl std::error::Error for ScenarioError {}

impl From<Unfit> for ScenarioError {
    fn from(unfit: Unfit) -> Self {
        let why = unfit.why();
        Self::new(unfit.field, why)
    }
}

/// A span as files write it: a number and its unit, as `250ms`, `1.5s`, `10m` or `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length(pub Span);

/// The units, with their microseconds.
const UNITS: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Reads a span; nothing where the text is none.
#[must_use]
pub fn read_span(text: &str) -> Option<Span> {
    let letters = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(letters);
    let (_, micros) = UNITS.into_iter().find(|(name, _)| *name == unit.trim())?;
    let number = number.trim();
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 6 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(micros)?;
    let of_million = format!("{part:0<6}").parse::<u64>().ok()?;
    let part = u128::from(of_million) * u128::from(micros) / 1_000_000;
    Some(Span::from_micros(whole.checked_add(part as u64)?))
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        read_span(&text).map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "\"{text}\" is no span of time; write a number and us, ms, s, m, h or d, as \
                 \"90s\""
            ))
        })
    }
}

/// Turns texts that are spans into microseconds, which is how sections of other parts of the
/// simulator hold them.
fn spans_to_micros(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(span) = read_span(text) {
                let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
                *value = Value::Integer(micros);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(spans_to_micros),
        Value::Table(table) => table
            .iter_mut()
            .for_each(|(_, value)| spans_to_micros(value)),
        _ => {}
    }
}

/// A file that is read section by section, so that what is left is unknown.
pub(super) struct Sections {
    root: Table,
}

impl Sections {
    pub(super) fn new(text: &str, set: &[(String, String)]) -> Result<Self, ScenarioError> {
        let mut root: Table = text
            .parse()
            .map_err(|error: toml::de::Error| ScenarioError::new("", error.to_string()))?;
        for (path, value) in set {
            put(&mut root, path, value)?;
        }
        Ok(Self { root })
    }

    /// Takes a text at the top.
    pub(super) fn text(&mut self, name: &str) -> Result<String, ScenarioError> {
        match self.root.remove(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(ScenarioError::new(name, "must be text in quotes")),
        }
    }

    /// Takes a yes or no at the top; no where there is none.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, ScenarioError> {
        match self.root.remove(name) {
            None => Ok(false),
            Some(Value::Boolean(value)) => Ok(value),
            Some(_) => Err(ScenarioError::new(name, "must be true or false")),
        }
    }

    /// Refuses what must not stand here.
    pub(super) fn refuse(&self, names: &[&str], why: &str) -> Result<(), ScenarioError> {
        match names.iter().find(|name| self.root.contains_key(**name)) {
            None => Ok(()),
            Some(name) => Err(ScenarioError::new(*name, why)),
        }
    }

    /// Takes a section; its defaults where there is none.
    pub(super) fn section<T>(&mut self, name: &str) -> Result<T, ScenarioError>
    where
        T: DeserializeOwned + Default,
    {
        Ok(self.optional(name)?.unwrap_or_default())
    }

    /// Takes a section if it is there.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, ScenarioError> {
        let table = self.table(name)?;
        table.map(|table| read(name, table)).transpose()
    }

    /// Takes a section of another part of the simulator: spans become microseconds.
    pub(super) fn table(&mut self, name: &str) -> Result<Option<Table>, ScenarioError> {
        match self.root.remove(name) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(table)),
            Some(_) => Err(ScenarioError::new(
                name,
                format!("must be a table; write it below a line with [{name}]"),
            )),
        }
    }

    /// Takes a list of tables.
    pub(super) fn list<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Vec<T>, ScenarioError> {
        let values = match self.root.remove(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) => values,
            Some(_) => {
                let why = format!("must be a list; write each item below a line with [[{name}]]");
                return Err(ScenarioError::new(name, why));
            }
        };
        let items = values.into_iter().enumerate();
        items
            .map(|(at, value)| match value {
                Value::Table(table) => read(&format!("{name}[{at}]"), table),
                _ => Err(ScenarioError::new(
                    format!("{name}[{at}]"),
                    "must be a table",
                )),
            })
            .collect()
    }

    /// Refuses what was not taken.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), ScenarioError> {
        match self.root.keys().next() {
            None => Ok(()),
            Some(name) => {
                let why = format!("there is no such section; there are {}", known.join(", "));
                Err(ScenarioError::new(name, why))
            }
        }
    }
}

/// Reads a table whose spans are texts into a value that holds them as microseconds.
pub(super) fn foreign<T: DeserializeOwned>(
    path: &str,
    mut table: Table,
) -> Result<T, ScenarioError> {
    table
        .iter_mut()
        .for_each(|(_, value)| spans_to_micros(value));
    read(path, table)
}

fn read<T: DeserializeOwned>(path: &str, table: Table) -> Result<T, ScenarioError> {
    let failed = match table.clone().try_into::<T>() {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    // Where one key alone fails in the same way, it is that key's fault.
    let wrong = failed.message().to_owned();
    let mut path = path.to_owned();
    let mut inside = table;
    let mut rebuild: Vec<String> = Vec::new();
    // What is missing is missing in a table, not in what stands beside it.
    let is_missing = wrong.starts_with("missing field");
    while let Some((key, value)) = inside.clone().into_iter().find(|(key, value)| {
        if is_missing && !value.is_table() {
            return false;
        }
        let mut alone = Table::new();
        alone.insert(key.clone(), value.clone());
        for outer in rebuild.iter().rev() {
            let inner = std::mem::take(&mut alone);
            alone.insert(outer.clone(), Value::Table(inner));
        }
        let error = alone.try_into::<T>().err();
        error.is_some_and(|error| error.message() == wrong)
    }) {
        path = format!("{path}.{key}");
        rebuild.push(key);
        match value {
            Value::Table(table) => inside = table,
            _ => break,
        }
    }
    Err(ScenarioError::new(path, wrong))
}

/// Sets the value of a key like `world.nodes` or `at.0.time`. The text is TOML if it can be, and
/// text if not, so that nothing has to be quoted twice on a command line.
fn put(root: &mut Table, path: &str, text: &str) -> Result<(), ScenarioError> {
    let value = format!("value = {text}").parse::<Table>();
    let value = value.ok().and_then(|mut table| table.remove("value"));
    let value = value.unwrap_or_else(|| Value::String(text.to_owned()));
    let mut names = path.split('.').peekable();
    let mut place: Option<&mut Value> = None;
    let mut table: Option<&mut Table> = Some(root);
    while let Some(name) = names.next() {
        let last = names.peek().is_none();
        if name.is_empty() {
            return Err(ScenarioError::new(
                path,
                "is no key; write it like world.nodes",
            ));
        }
        if let Some(inside) = table.take() {
            if last {
                inside.insert(name.to_owned(), value);
                return Ok(());
            }
            let empty = || Value::Table(Table::new());
            place = Some(inside.entry(name).or_insert_with(empty));
        } else if let Some(Value::Array(items)) = place.take() {
            let count = items.len();
            let item = name.parse::<usize>().ok().and_then(|at| items.get_mut(at));
            let why = format!("{name} is none of its {count} items, which are counted from 0");
            let item = item.ok_or_else(|| ScenarioError::new(path, why))?;
            if last {
                *item = value;
                return Ok(());
            }
            place = Some(item);
        }
        match place.take() {
            Some(Value::Table(inside)) => table = Some(inside),
            Some(items @ Value::Array(_)) => place = Some(items),
            _ => {
                let why = format!("{name} is a value and has nothing inside");
                return Err(ScenarioError::new(path, why));
            }
        }
    }
    Err(ScenarioError::new(
        path,
        "is no key; write it like world.nodes",
    ))
}
