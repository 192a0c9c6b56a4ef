// What SLICES invocations, APART from each other, have summed up of the same SUMS things meets in the first of
// them. Which invocations share a subgroup, and in which order, nobody promises, and how large one is differs;
// so the slices of one thing may lie in any of them, and meet in workgroup memory.
//@if MEETS
var<workgroup> meeting: array<Sum, SUMS * THREADS>;
//@end

fn met(own: array<Sum, SUMS>, slice: u32, local: u32) -> array<Sum, SUMS> {
    var sums = own;
//@if MEETS
//@for S in SUMS
    meeting[$Su * THREADS + local] = sums[$S];
//@end
    workgroupBarrier();
    if slice == 0u {
        for (var other = local + APART; other < local + SLICES * APART; other += APART) {
//@for S in SUMS
            sums[$S] += meeting[$Su * THREADS + other];
//@end
        }
    }
//@end
    return sums;
}
