//! Shamir's shares, and what puts them together again.

use zeroize::Zeroizing;

use super::FIELD;
use crate::Result;
use crate::vpk::random::Uniform;

/// Where the polynomials of host `host` are evaluated; never at 0, where the secret is.
pub(super) fn point(host: usize) -> u32 {
    host as u32 + 1
}

/// Deals shares of numbers, each with a random polynomial of its own.
pub(super) struct Dealer {
    random: Uniform,
    coefficients: Zeroizing<Vec<u32>>,
    shares: Vec<u32>,
}

impl Dealer {
    pub(super) fn new(hosts: usize, degree: usize) -> Dealer {
        Dealer {
            random: Uniform::from_system(FIELD.prime()),
            coefficients: Zeroizing::new(vec![0; degree]),
            shares: vec![0; hosts],
        }
    }

    /// One share for each host.
    pub(super) fn deal(&mut self, secret: u32) -> Result<&[u32]> {
        for coefficient in self.coefficients.iter_mut() {
            *coefficient = self.random.next()?;
        }
        for (host, share) in self.shares.iter_mut().enumerate() {
            let at = point(host);
            let tail = self.coefficients.iter().fold(0, |sum, coefficient| FIELD.mul(FIELD.add(sum, *coefficient), at));
            *share = FIELD.add(secret, tail);
        }
        Ok(&self.shares)
    }
}

/// The factors with which values at these points give the value at another, on a polynomial of lower degree than there are
/// points (Lagrange).
pub(super) fn lagrange(points: &[u32], at: u32) -> Result<Vec<u32>> {
    let mut factors = Vec::with_capacity(points.len());
    for own in points {
        let (mut above, mut below) = (1, 1);
        for other in points.iter().filter(|other| *other != own) {
            above = FIELD.mul(above, FIELD.sub(at, *other));
            below = FIELD.mul(below, FIELD.sub(*own, *other));
        }
        factors.push(FIELD.mul(above, FIELD.inverse(below)?));
    }
    Ok(factors)
}

/// All ways to choose `count` of the first `from` numbers, in order.
pub(in crate::vpk) fn combinations(from: usize, count: usize) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    let mut chosen: Vec<usize> = (0..count).collect();
    if count > from {
        return all;
    }
    loop {
        all.push(chosen.clone());
        // The last place that can still move right.
        let Some(place) = (0..count).rev().find(|place| chosen[*place] < from - count + place) else { return all };
        chosen[place] += 1;
        for next in place + 1..count {
            chosen[next] = chosen[next - 1] + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_shares_above_the_degree_give_the_secret_and_one_less_fits_every_secret() {
        let mut dealer = Dealer::new(5, 2);
        let shares = dealer.deal(4711).unwrap().to_vec();
        for chosen in combinations(5, 3) {
            let points: Vec<u32> = chosen.iter().map(|host| point(*host)).collect();
            let factors = lagrange(&points, 0).unwrap();
            let secret = factors
                .iter()
                .zip(&chosen)
                .fold(0, |sum, (factor, host)| FIELD.add(sum, FIELD.mul(*factor, shares[*host])));
            assert_eq!(secret, 4711);
        }
        // With two shares, each secret has exactly one polynomial: the value at the third point moves with it.
        let factors = lagrange(&[0, point(0), point(1)], point(2)).unwrap();
        let third = |secret| {
            [secret, shares[0], shares[1]]
                .iter()
                .zip(&factors)
                .fold(0, |sum, (value, factor)| FIELD.add(sum, FIELD.mul(*value, *factor)))
        };
        assert_eq!(third(4711), shares[2]);
        assert_ne!(third(0), third(1));
    }

    #[test]
    fn every_choice_comes_once() {
        assert_eq!(combinations(4, 3), [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]]);
        assert_eq!(combinations(16, 7).len(), 11_440);
        assert_eq!(combinations(2, 3), Vec::<Vec<usize>>::new());
        assert_eq!(combinations(3, 3), [[0, 1, 2]]);
    }
}
