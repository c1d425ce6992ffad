//! Random claims: any text, numbers that JSON can carry, nested.

use proptest::prelude::*;
use serde_json::{Map, Value};

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(Value::from),
        (-1000i64..1000).prop_map(Value::from),
        any::<f64>().prop_filter("a number of JSON", |number| portable(*number)).prop_map(Value::from),
    ]
}

/// JavaScript writes doubles from 2^53 to 10^21 as integers, which are refused because others would round them.
fn portable(number: f64) -> bool {
    number.is_finite() && !(9_007_199_254_740_991.0..1e21).contains(&number.abs())
}

/// Any value of JSON.
pub fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Claims under names that may stand in a credential.
pub fn claims() -> impl Strategy<Value = Map<String, Value>> {
    let name = any::<String>().prop_filter("a claim's name", |name| name != "id" && !name.starts_with('@'));
    prop::collection::btree_map(name, value(), 0..6).prop_map(|members| members.into_iter().collect())
}
