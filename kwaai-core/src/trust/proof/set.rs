//! Several proofs on one document: sets, whose members stand beside each other, and chains, whose members build on
//! earlier ones (Data Integrity 1.0 §2.1.1, §2.1.2 and §4.5).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::Result;
use crate::trust::rule::Rule;

/// The most proofs that are read on one document.
pub const MAX_PROOFS: usize = 16;

/// The proofs of a document, in their order, each with the proofs that it builds on.
pub(super) struct ProofSet<'a> {
    proofs: Vec<&'a Map<String, Value>>,
    /// For each proof the places of those it names as `previousProof`, in the order of the document.
    previous: Vec<Vec<usize>>,
}

impl<'a> ProofSet<'a> {
    /// Reads the member `proof` of a document and checks how its proofs refer to each other.
    pub(super) fn read(proof: Option<&'a Value>) -> Result<ProofSet<'a>> {
        let list = match proof {
            Some(single @ Value::Object(_)) => std::slice::from_ref(single),
            Some(Value::Array(list)) if !list.is_empty() => list.as_slice(),
            Some(Value::Array(_)) | None => return Err(Rule::Proof.invalid("the document carries no proof")),
            Some(_) => return Err(Rule::Proof.invalid("the document's proof is not an object")),
        };
        if list.len() > MAX_PROOFS {
            let message = format!("the document carries {} proofs, {MAX_PROOFS} are the limit", list.len());
            return Err(Rule::Size.exceeded(MAX_PROOFS, message));
        }
        let mut proofs = Vec::with_capacity(list.len());
        for proof in list {
            let proof = proof
                .as_object()
                .ok_or_else(|| Rule::Proof.invalid("one of the document's proofs is not an object"))?;
            if proofs.contains(&proof) {
                return Err(Rule::Proof.invalid("the document carries the same proof twice"));
            }
            proofs.push(proof);
        }
        let previous = links(&proofs)?;
        Ok(ProofSet { proofs, previous })
    }

    /// Each proof with those that it builds on.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a Map<String, Value>, Vec<Value>)> + '_ {
        self.proofs.iter().zip(&self.previous).map(|(proof, previous)| {
            (*proof, previous.iter().map(|at| Value::Object(self.proofs[*at].clone())).collect())
        })
    }

    /// The places of the proofs with these identifiers, in the order of the document.
    pub(super) fn find(&self, ids: &[String]) -> Result<Vec<&'a Map<String, Value>>> {
        let names = identifiers(&self.proofs)?;
        Ok(places(&names, ids.iter().map(String::as_str))?.into_iter().map(|at| self.proofs[at]).collect())
    }
}

fn links(proofs: &[&Map<String, Value>]) -> Result<Vec<Vec<usize>>> {
    let names = identifiers(proofs)?;
    let previous = proofs
        .iter()
        .map(|proof| match proof.get("previousProof") {
            None => Ok(Vec::new()),
            Some(Value::String(id)) => places(&names, [id.as_str()]),
            Some(Value::Array(list)) if !list.is_empty() => {
                let ids: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
                places(&names, ids.ok_or_else(no_reference)?)
            }
            Some(_) => Err(no_reference()),
        })
        .collect::<Result<Vec<_>>>()?;
    check_acyclic(&previous)?;
    Ok(previous)
}

fn no_reference() -> crate::Error {
    Rule::PreviousProof.invalid("the proof's previousProof is neither an identifier nor a list of them")
}

fn identifiers<'a>(proofs: &[&'a Map<String, Value>]) -> Result<BTreeMap<&'a str, usize>> {
    let mut names = BTreeMap::new();
    for (at, proof) in proofs.iter().enumerate() {
        let id = match proof.get("id") {
            None => continue,
            Some(Value::String(id)) if !id.is_empty() => id.as_str(),
            Some(_) => return Err(Rule::Proof.invalid("the proof's id is no text")),
        };
        if names.insert(id, at).is_some() {
            return Err(Rule::PreviousProof.invalid(format!("two proofs have the id {id:.80?}")));
        }
    }
    Ok(names)
}

fn places<'a>(names: &BTreeMap<&str, usize>, ids: impl IntoIterator<Item = &'a str>) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    for id in ids {
        let at = names.get(id).ok_or_else(|| {
            Rule::PreviousProof.invalid(format!("the proof builds on {id:.80?}, which the document does not carry"))
        })?;
        if found.contains(at) {
            return Err(Rule::PreviousProof.invalid(format!("the proof builds on {id:.80?} twice")));
        }
        found.push(*at);
    }
    found.sort_unstable();
    Ok(found)
}

/// Takes away proofs that build on nothing that is left, until none is left; a rest builds on itself.
fn check_acyclic(previous: &[Vec<usize>]) -> Result<()> {
    let mut settled = vec![false; previous.len()];
    loop {
        let next =
            (0..previous.len()).find(|at| !settled[*at] && previous[*at].iter().all(|earlier| settled[*earlier]));
        match next {
            Some(at) => settled[at] = true,
            None if settled.iter().all(|done| *done) => return Ok(()),
            None => return Err(Rule::PreviousProof.invalid("the document has proofs that build on themselves")),
        }
    }
}
