// Another implementation's verdict on kwaainet's credentials, and credentials of its making for kwaainet to judge.
//
// stdin:  {"now": instant, "verify": [credential as JSON text], "issue": [{"publicKeyMultibase", "secretKeyMultibase", "credential"}]}
// stdout: {"verified": [{"verified": bool, "error": text or null}], "issued": [credential as JSON text]}
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

async function verify(json, now) {
  try {
    const suite = new DataIntegrityProof({cryptosuite: createVerifyCryptosuite()});
    const credential = JSON.parse(json);
    const {verified, error} = await vc.verifyCredential({credential, suite, documentLoader, now});
    const reasons = [error, ...(error?.errors ?? [])].filter(Boolean).map(one => one.message);
    return {verified, error: verified ? null : reasons.join('; ')};
  } catch(error) {
    return {verified: false, error: error.message};
  }
}

async function issue({publicKeyMultibase, secretKeyMultibase, credential}, now) {
  const did = `did:key:${publicKeyMultibase}`;
  const key = await Ed25519Multikey.from({
    type: 'Multikey', id: `${did}#${publicKeyMultibase}`, controller: did, publicKeyMultibase, secretKeyMultibase
  });
  const suite = new DataIntegrityProof({signer: key.signer(), date: now, cryptosuite: createSignCryptosuite()});
  return JSON.stringify(await vc.issue({credential: {...credential, issuer: did}, suite, documentLoader, now}));
}

const request = JSON.parse(await text(process.stdin));
const verified = [];
for(const json of request.verify) {
  verified.push(await verify(json, request.now));
}
const issued = [];
for(const order of request.issue) {
  issued.push(await issue(order, request.now));
}
process.stdout.write(JSON.stringify({verified, issued}));
