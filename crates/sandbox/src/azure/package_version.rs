//! Which of two package versions is newer, by dpkg's rules (deb-version(7)). RPM's rules agree
//! with them wherever an estate is likely to go.

use std::cmp::Ordering;

/// Compares `left` and `right`: epoch, then upstream version, then revision.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    let (left_epoch, left) = epoch(left);
    let (right_epoch, right) = epoch(right);
    left_epoch.cmp(&right_epoch).then_with(|| {
        let (left_upstream, left_revision) = left.rsplit_once('-').unwrap_or((left, ""));
        let (right_upstream, right_revision) = right.rsplit_once('-').unwrap_or((right, ""));
        part(left_upstream, right_upstream).then_with(|| part(left_revision, right_revision))
    })
}

fn epoch(version: &str) -> (u64, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    }
}

/// Runs of letters and runs of digits take turns; `~` sorts before the end, letters before the rest.
fn part(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left, right);
    while !left.is_empty() || !right.is_empty() {
        let left_end = left.find(|it: char| it.is_ascii_digit()).unwrap_or(left.len());
        let right_end = right.find(|it: char| it.is_ascii_digit()).unwrap_or(right.len());
        let order = letters(&left[..left_end], &right[..right_end]);
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (&left[left_end..], &right[right_end..]);

        let left_end = left.find(|it: char| !it.is_ascii_digit()).unwrap_or(left.len());
        let right_end = right.find(|it: char| !it.is_ascii_digit()).unwrap_or(right.len());
        let order = digits(&left[..left_end], &right[..right_end]);
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (&left[left_end..], &right[right_end..]);
    }
    Ordering::Equal
}

fn letters(left: &str, right: &str) -> Ordering {
    let weight = |it: Option<char>| match it {
        Some('~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i64::from(u32::from(letter)),
        Some(other) => i64::from(u32::from(other)) + 1000,
    };
    let (mut left, mut right) = (left.chars(), right.chars());
    loop {
        let (one, other) = (left.next(), right.next());
        if one.is_none() && other.is_none() {
            return Ordering::Equal;
        }
        let order = weight(one).cmp(&weight(other));
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn digits(left: &str, right: &str) -> Ordering {
    let left = left.trim_start_matches('0');
    let right = right.trim_start_matches('0');
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        let ascending = [
            "1.0~beta1",
            "1.0",
            "1.0-1",
            "1.0-1ubuntu0.9",
            "1.0-1ubuntu0.10",
            "1.0.1-1",
            "1.9",
            "1.10",
            "3.0.2-0ubuntu1.17",
            "3.0.2-0ubuntu1.18",
            "1:0.1",
        ];

        for pair in ascending.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{} < {}", pair[0], pair[1]);
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{} > {}", pair[1], pair[0]);
        }
    }

    #[test]
    fn leading_zeros_do_not_count() {
        assert_eq!(compare("1.02", "1.2"), Ordering::Equal);
    }

    #[test]
    fn windows_builds_are_numbers() {
        assert_eq!(compare("10.0.20348.3932", "10.0.20348.4052"), Ordering::Less);
    }
}
