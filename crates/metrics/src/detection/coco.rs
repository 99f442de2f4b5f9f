//! `COCOeval` of pycocotools, for boxes. Its loops and its rounding are kept.

/// The numbers of [`Evaluation::summary`].
pub(super) const SUMMARY: [&str; 12] = [
    "map",
    "map_50",
    "map_75",
    "map_small",
    "map_medium",
    "map_large",
    "mar_1",
    "mar_10",
    "mar_100",
    "mar_small",
    "mar_medium",
    "mar_large",
];

/// The largest numbers of boxes in an image that count, the best first.
const MOST: [usize; 3] = [1, 10, 100];
/// The areas of all, small, medium and large objects.
const AREAS: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];
/// The number of IoU thresholds, and of recall levels.
const IOUS: usize = 10;
const RECALLS: usize = 101;
/// `numpy.spacing(1)`.
const SPACING: f64 = f64::EPSILON;

/// `numpy.linspace(first, last, count)[index]`.
fn spaced([first, last]: [f64; 2], count: usize, index: usize) -> f64 {
    if index + 1 == count {
        return last;
    }
    let step = (last - first) / (count - 1) as f64;
    index as f64 * step + first
}

fn iou_threshold(index: usize) -> f64 {
    spaced([0.5, 0.95], IOUS, index)
}

#[derive(Clone, Copy, Debug)]
struct Rect {
    corner: [f64; 2],
    size: [f64; 2],
}

impl Rect {
    fn of(numbers: &[f64]) -> Self {
        let &[left, top, right, bottom, ..] = numbers else { return Self { corner: [0.0; 2], size: [0.0; 2] } };
        Self { corner: [left, top], size: [right - left, bottom - top] }
    }

    fn area(self) -> f64 {
        self.size[0] * self.size[1]
    }

    /// With a crowd, the share of this box in it.
    fn iou(self, other: Self, is_crowd: bool) -> f64 {
        let mut shared = 1.0;
        for axis in 0..2 {
            let end = (self.corner[axis] + self.size[axis]).min(other.corner[axis] + other.size[axis]);
            let length = end - self.corner[axis].max(other.corner[axis]);
            if length <= 0.0 {
                return 0.0;
            }
            shared *= length;
        }
        shared / if is_crowd { self.area() } else { self.area() + other.area() - shared }
    }
}

#[derive(Clone, Copy, Debug)]
struct Found {
    place: Rect,
    score: f64,
}

#[derive(Clone, Copy, Debug)]
struct Object {
    place: Rect,
    is_crowd: bool,
    area: f64,
}

/// The boxes of one class in one image.
#[derive(Clone, Debug, Default)]
struct Scene {
    /// The best first.
    found: Vec<Found>,
    objects: Vec<Object>,
}

/// The evaluation of the found boxes of a scene at one IoU threshold: whether each is right, and whether it counts.
type Judged = Vec<(bool, bool)>;

/// The results of one class for objects of some size.
#[derive(Clone, Debug)]
struct Curves {
    /// The average precision and the recall at each IoU threshold, for each number of boxes ([`MOST`]).
    of_most: [[(f64, f64); IOUS]; 3],
}

/// The results of all classes. `None` for objects of a size that do not occur.
#[derive(Clone, Debug)]
pub(super) struct Evaluation {
    classes: Vec<[Option<Curves>; 4]>,
}

/// The rows of each image.
fn by_image<'a>(rows: &'a [f64], width: usize, counts: impl Iterator<Item = f64> + 'a) -> impl Iterator<Item = &'a [f64]> + 'a {
    let mut rest = rows;
    counts.map(move |count| {
        let (own, others) = rest.split_at((count as usize * width).min(rest.len()));
        rest = others;
        own
    })
}

impl Evaluation {
    /// Evaluates rows of found boxes and of objects, with the number of each per image. `None` if a row is invalid.
    pub(super) fn of(found: &[f64], objects: &[f64], images: &[f64], classes: usize) -> Option<Self> {
        let is_class = |class: f64| class >= 0.0 && class < classes as f64;
        let is_valid = found.iter().chain(objects).all(|number| !number.is_nan())
            && found.chunks(super::FOUND).all(|row| row.get(5).is_some_and(|class| is_class(*class)))
            && objects.chunks(super::OBJECTS).all(|row| row.get(4).is_some_and(|class| is_class(*class)));
        if !is_valid {
            return None;
        }
        let mut scenes = vec![Vec::new(); classes];
        let found = by_image(found, super::FOUND, images.chunks(2).map(|counts| counts[0]));
        let objects = by_image(objects, super::OBJECTS, images.chunks(2).map(|counts| counts[1]));
        for (found, objects) in found.zip(objects) {
            let mut in_image = vec![Scene::default(); classes];
            for row in found.chunks(super::FOUND) {
                in_image[row[5] as usize].found.push(Found { place: Rect::of(row), score: row[4] });
            }
            for row in objects.chunks(super::OBJECTS) {
                let place = Rect::of(row);
                let area = if row[6] < 0.0 { place.area() } else { row[6] };
                in_image[row[4] as usize].objects.push(Object { place, is_crowd: row[5] > 0.5, area });
            }
            for (mut scene, scenes) in in_image.into_iter().zip(&mut scenes) {
                if !scene.found.is_empty() || !scene.objects.is_empty() {
                    scene.found.sort_by(|a, b| b.score.total_cmp(&a.score));
                    scene.found.truncate(MOST[2]);
                    scenes.push(scene);
                }
            }
        }
        Some(Self { classes: scenes.iter().map(|scenes| AREAS.map(|area| curves(scenes, area))).collect() })
    }

    /// A mean over the classes that occur.
    fn mean(&self, area: usize, value: impl Fn(&Curves) -> f64) -> f64 {
        let values: Vec<f64> = self.classes.iter().filter_map(|class| class[area].as_ref().map(&value)).collect();
        values.iter().sum::<f64>() / values.len() as f64
    }

    pub(super) fn summary(&self) -> [f64; SUMMARY.len()] {
        let map = |area: usize| self.mean(area, |curves| mean_of(&curves.of_most[2], |(precision, _)| precision));
        let at = |iou: usize| self.mean(0, |curves| curves.of_most[2][iou].0);
        let mar = |area: usize, most: usize| self.mean(area, |curves| mean_of(&curves.of_most[most], |(_, recall)| recall));
        [map(0), at(0), at(5), map(1), map(2), map(3), mar(0, 0), mar(0, 1), mar(0, 2), mar(1, 2), mar(2, 2), mar(3, 2)]
    }

    /// The mean average precision of each class.
    pub(super) fn of_classes(&self) -> Vec<f64> {
        let of = |class: &[Option<Curves>; 4]| {
            class[0].as_ref().map_or(f64::NAN, |curves| mean_of(&curves.of_most[2], |(precision, _)| precision))
        };
        self.classes.iter().map(of).collect()
    }
}

fn mean_of(values: &[(f64, f64); IOUS], part: impl Fn((f64, f64)) -> f64) -> f64 {
    values.iter().map(|value| part(*value)).sum::<f64>() / IOUS as f64
}

/// `evaluateImg`: a found box gets the object with the largest IoU that is left. `counts` says which objects count.
fn judge(scene: &Scene, counts: &[bool], ious: &[Vec<f64>], area: [f64; 2], threshold: f64) -> Judged {
    let mut is_taken = vec![false; scene.objects.len()];
    // Objects that count come first.
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|&object| !counts[object]);
    let one = |(index, found): (usize, &Found)| {
        let mut best = threshold.min(1.0 - 1e-10);
        let mut chosen: Option<usize> = None;
        for &object in &order {
            if is_taken[object] && !scene.objects[object].is_crowd {
                continue;
            }
            if chosen.is_some_and(|chosen| counts[chosen]) && !counts[object] {
                break;
            }
            if ious[index][object] >= best {
                best = ious[index][object];
                chosen = Some(object);
            }
        }
        match chosen {
            Some(object) => {
                is_taken[object] = true;
                (true, counts[object])
            }
            None => (false, is_within(found.place.area(), area)),
        }
    };
    scene.found.iter().enumerate().map(one).collect()
}

fn is_within(area: f64, [least, most]: [f64; 2]) -> bool {
    !(area < least || area > most)
}

/// `accumulate`. `None` if no object of this size counts.
fn curves(scenes: &[Scene], area: [f64; 2]) -> Option<Curves> {
    let counts: Vec<Vec<bool>> =
        scenes.iter().map(|scene| scene.objects.iter().map(|object| !object.is_crowd && is_within(object.area, area)).collect()).collect();
    let objects = counts.iter().flatten().filter(|counts| **counts).count();
    if objects == 0 {
        return None;
    }
    let iou_of = |scene: &Scene| -> Vec<Vec<f64>> {
        let row = |found: &Found| scene.objects.iter().map(|object| found.place.iou(object.place, object.is_crowd)).collect();
        scene.found.iter().map(row).collect()
    };
    let ious: Vec<_> = scenes.iter().map(iou_of).collect();
    let mut of_most = [[(0.0, 0.0); IOUS]; 3];
    for threshold in 0..IOUS {
        let judged: Vec<Judged> = scenes
            .iter()
            .zip(&counts)
            .zip(&ious)
            .map(|((scene, counts), ious)| judge(scene, counts, ious, area, iou_threshold(threshold)))
            .collect();
        for (most, of_most) in MOST.iter().zip(&mut of_most) {
            let in_scene = |(scene, judged): (&Scene, &Judged)| -> Vec<(f64, bool, bool)> {
                let scores = scene.found.iter().map(|found| found.score);
                scores.zip(judged).take(*most).map(|(score, (is_right, counts))| (score, *is_right, *counts)).collect()
            };
            let mut all: Vec<_> = scenes.iter().zip(&judged).flat_map(in_scene).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            of_most[threshold] = precision_and_recall(&all, objects as f64);
        }
    }
    Some(Curves { of_most })
}

/// The mean precision at the recall levels, and the recall of all boxes.
fn precision_and_recall(found: &[(f64, bool, bool)], objects: f64) -> (f64, f64) {
    let (mut right, mut wrong) = (0.0, 0.0);
    let (mut recalls, mut precisions) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
    for (_, is_right, counts) in found {
        right += f64::from(u8::from(*is_right && *counts));
        wrong += f64::from(u8::from(!*is_right && *counts));
        recalls.push(right / objects);
        precisions.push(right / (wrong + right + SPACING));
    }
    for index in (1..precisions.len()).rev() {
        precisions[index - 1] = f64::max(precisions[index - 1], precisions[index]);
    }
    let at = |level: usize| {
        let level = spaced([0.0, 1.0], RECALLS, level);
        precisions.get(recalls.partition_point(|recall| *recall < level)).copied().unwrap_or(0.0)
    };
    ((0..RECALLS).map(at).sum::<f64>() / RECALLS as f64, recalls.last().copied().unwrap_or(0.0))
}
