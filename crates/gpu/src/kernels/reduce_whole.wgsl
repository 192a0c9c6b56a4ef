// What all invocations of a workgroup bring becomes one sum or one maximum, which all of them get: NUMBERS of
// them at a time. A subgroup brings one number, however large it is and whoever is in it. Of TURNS calls each has
// a place of its own, so that no barrier need lie between them.
struct Member {
    @builtin(local_invocation_index) local: u32,
//@if SUBGROUPS
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
    @builtin(subgroup_invocation_id) lane: u32,
//@end
}

var<workgroup> brought: array<f32, TURNS * NUMBERS * THREADS>;

// How many numbers there are to be read afterwards.
fn bring(numbers: array<f32, NUMBERS>, turn: u32, member: Member) -> u32 {
//@if SUBGROUPS
    let speaks = member.lane == subgroupBroadcastFirst(member.lane);
    let place = member.subgroup;
    let places = member.subgroups;
//@else
    let speaks = true;
    let place = member.local;
    let places = THREADS;
//@end
    if speaks {
//@for N in NUMBERS
        brought[(turn * NUMBERS + $Nu) * THREADS + place] = numbers[$N];
//@end
    }
    workgroupBarrier();
    return places;
}

// One serial loop for all numbers: a tree's many barriers cost more than they save, and some software adapters
// give an invocation 65,535 turns in all.
fn summed(own: array<f32, NUMBERS>, turn: u32, member: Member) -> array<f32, NUMBERS> {
    var numbers = own;
//@if SUBGROUPS
//@for N in NUMBERS
    numbers[$N] = subgroupAdd(numbers[$N]);
//@end
//@end
    let places = bring(numbers, turn, member);
//@for N in NUMBERS
    numbers[$N] = 0.0;
//@end
    for (var i = turn * NUMBERS * THREADS; i < turn * NUMBERS * THREADS + places; i++) {
//@for N in NUMBERS
        numbers[$N] += brought[$Nu * THREADS + i];
//@end
    }
    return numbers;
}

fn largest(own: array<f32, NUMBERS>, turn: u32, member: Member) -> array<f32, NUMBERS> {
    var numbers = own;
//@if SUBGROUPS
//@for N in NUMBERS
    numbers[$N] = subgroupMax(numbers[$N]);
//@end
//@end
    let places = bring(numbers, turn, member);
    for (var i = turn * NUMBERS * THREADS; i < turn * NUMBERS * THREADS + places; i++) {
//@for N in NUMBERS
        numbers[$N] = max(numbers[$N], brought[$Nu * THREADS + i]);
//@end
    }
    return numbers;
}
