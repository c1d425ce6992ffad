// Another implementation's verdict on what kwaainet signs, and documents of its making for kwaainet to judge.
//
// stdin, one JSON object; every member but `now` may be missing:
//   now             instant
//   verify          [credential as JSON text]
//   issue           [{...key, credential}]
//   verifyProofs    [document with a set or a chain of proofs, as JSON text]
//   addProofs       [{document, proofs: [{...key, proof: {id, previousProof, ...}}]}]
//   verifyPresented [{presentation as JSON text, domain, challenge}]
//   present         [{...key, credentials: [credential as JSON text], domain, challenge}]
// where `key` is {publicKeyMultibase, secretKeyMultibase}.
//
// stdout, one JSON object with what was asked for:
//   verified, verifiedProofs, verifiedPresented   [{"verified": bool, "error": text or null}]
//   issued, added, presented                      [document as JSON text]
//
// It reaches no network: the contexts come with the packages, and a did:key carries its own key.
import {text} from 'node:stream/consumers';
import {DataIntegrityProof} from '@digitalbazaar/data-integrity';
import * as DidKey from '@digitalbazaar/did-method-key';
import * as Ed25519Multikey from '@digitalbazaar/ed25519-multikey';
import {createSignCryptosuite, createVerifyCryptosuite} from '@digitalbazaar/eddsa-jcs-2022-cryptosuite';
import * as vc from '@digitalbazaar/vc';

const didKey = DidKey.driver();
didKey.use({multibaseMultikeyHeader: 'z6Mk', fromMultibase: Ed25519Multikey.from});

async function documentLoader(url) {
  if(url.startsWith('did:key:')) {
    return {contextUrl: null, documentUrl: url, document: await didKey.get({url})};
  }
  return vc.defaultDocumentLoader(url);
}

const verifier = () => new DataIntegrityProof({cryptosuite: createVerifyCryptosuite()});

function did({publicKeyMultibase}) {
  return `did:key:${publicKeyMultibase}`;
}

async function signer({publicKeyMultibase, secretKeyMultibase}, date) {
  const controller = did({publicKeyMultibase});
  const id = `${controller}#${publicKeyMultibase}`;
  const key = await Ed25519Multikey.from({type: 'Multikey', id, controller, publicKeyMultibase, secretKeyMultibase});
  return new DataIntegrityProof({signer: key.signer(), date, cryptosuite: createSignCryptosuite()});
}

// The verdict of a check that throws or answers {verified, error}.
async function verdict(check) {
  try {
    const {verified, error} = await check();
    const reasons = [error, ...(error?.errors ?? [])].filter(Boolean).map(one => one.message);
    return {verified, error: verified ? null : reasons.join('; ')};
  } catch(error) {
    return {verified: false, error: error.message};
  }
}

function verify(json, now) {
  return verdict(() =>
    vc.verifyCredential({credential: JSON.parse(json), suite: verifier(), documentLoader, now}));
}

async function issue({credential, ...key}, now) {
  const suite = await signer(key, now);
  return JSON.stringify(await vc.issue({credential: {...credential, issuer: did(key)}, suite, documentLoader, now}));
}

// The document that a proof covers: without proofs, or with exactly those that it names as `previousProof`. The packages
// know sets, not chains, and so the choice is made here, after Data Integrity 1.0 section 4.5; hashing, keys and
// signatures are theirs.
function covered({proof: _, ...document}, proofs, {previousProof}) {
  if(previousProof === undefined) {
    return document;
  }
  const ids = [].concat(previousProof);
  const previous = proofs.filter(({id}) => ids.includes(id));
  if(previous.length !== ids.length) {
    throw new Error('a previous proof is missing');
  }
  return {...document, proof: previous};
}

function verifyProofs(json) {
  return verdict(async () => {
    const secured = JSON.parse(json);
    const proofs = [].concat(secured.proof);
    for(const proof of proofs) {
      const result = await verifier().verifyProof({proof, document: covered(secured, proofs, proof), documentLoader});
      if(!result.verified) {
        return result;
      }
    }
    return {verified: true};
  });
}

async function addProofs({document, proofs}, now) {
  const purpose = {update: async proof => ({...proof, proofPurpose: 'assertionMethod'})};
  const made = [];
  for(const {proof, ...key} of proofs) {
    const suite = await signer(key, now);
    suite.proof = proof;
    made.push(await suite.createProof({document: covered(document, made, proof), purpose, documentLoader}));
  }
  return JSON.stringify({...document, proof: made});
}

function verifyPresented({presentation, domain, challenge}, now) {
  return verdict(async () => {
    const {verified, error, presentationResult, credentialResults} = await vc.verify({
      presentation: JSON.parse(presentation), suite: verifier(), documentLoader, domain, challenge, now
    });
    const first = [presentationResult, ...(credentialResults ?? [])].find(result => result?.error)?.error;
    return {verified, error: error ?? first};
  });
}

async function present({credentials, domain, challenge, ...key}, now) {
  const suite = await signer(key, now);
  const verifiableCredential = credentials.map(json => JSON.parse(json));
  const presentation = vc.createPresentation({verifiableCredential, holder: did(key), now});
  return JSON.stringify(await vc.signPresentation({presentation, suite, documentLoader, domain, challenge}));
}

const request = JSON.parse(await text(process.stdin));
async function each(orders, answer) {
  const answers = [];
  for(const order of orders ?? []) {
    answers.push(await answer(order, request.now));
  }
  return answers;
}
process.stdout.write(JSON.stringify({
  verified: await each(request.verify, verify),
  issued: await each(request.issue, issue),
  verifiedProofs: await each(request.verifyProofs, verifyProofs),
  added: await each(request.addProofs, addProofs),
  verifiedPresented: await each(request.verifyPresented, verifyPresented),
  presented: await each(request.present, present)
}));
