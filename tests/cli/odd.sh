#!/bin/bash
# 291 odd JPEGs of decoders' own test suites, through pack: each one's outcome is what their manifest
# says, with a reason that fits. They stand beside the repository where the project has them.
# shellcheck source=tests/cli/cli.bash
. "$(dirname "$0")/cli.bash"

ODD=../shared/data/odd-jpegs.tar
if [ ! -r "$ODD" ]; then
    echo "skip odd-jpegs: '$ODD' is not there"
    exit 0
fi
tar xOf "$ODD" --wildcards '*/MANIFEST.tsv' >"$WORK/manifest"
need pack --out "$WORK/c" --unlabeled "$ODD"

# Lines 'FILE VERDICT OUTCOME' of those that are wrong. The three files of `more` were refused by the
# manifest's maker and are read by the Pillow that we follow (tests/common/image/test_odd_jpegs.c).
awk -F'\t' -v more='corrupt-fails/14_libexif__cve-2012-2813.jpg
not-jpeg/12_image-rs-jpeg-decoder__jpg-size-6x6.jpg
warns/12_pillow__truncated_exif_dpi.jpg' '
    BEGIN {
        n = split(more, list, "\n")
        for (i = 1; i <= n; i++) read_too[list[i]] = 1
        fits["ok"] = "packed"
        fits["HUGE skipped"] = "too-large unsupported-kind truncated broken not-identified"
        fits["OSError: Truncated File Read"] = "truncated"
        fits["OSError: image file is truncated"] = "truncated"
        fits["OSError: broken data stream"] = "broken truncated unsupported-kind"
        fits["UnidentifiedImageError"] = "not-identified unsupported-kind truncated broken"
        # Never offered to Pillow: no JPEG by its first bytes; some are pictures of a kind that is not read.
        fits[""] = "not-identified empty unsupported-kind"
    }
    FNR == NR {
        match($0, /"reason":"[^"]*"/)
        reason = substr($0, RSTART + 10, RLENGTH - 11)
        match($0, /!nasty-curated\/.*"\}$/)
        outcome[substr($0, RSTART + 15, RLENGTH - 17)] = reason
        next
    }
    FNR > 1 {
        seen++
        is = $1 in outcome ? outcome[$1] : "packed"
        packed += is == "packed"
        expected = $1 in read_too ? "packed" : $8 == "" ? fits[""] : ""
        for (verdict in fits)
            if (expected == "" && verdict != "" && index($8, verdict) == 1) expected = fits[verdict]
        if (index(" " expected " ", " " is " ") == 0) print $1, "[" $8 "]", is
    }
    END { print seen, packed > "/dev/stderr" }' \
    "$WORK/c/quarantine.jsonl" "$WORK/manifest" >"$WORK/wrong" 2>"$WORK/counts"
cat "$WORK/wrong"
check each-outcome-is-the-manifests test ! -s "$WORK/wrong"
check all-were-offered test "$(cut -d' ' -f1 "$WORK/counts")" -eq 291
check those-that-decode-are-packed test "$(cut -d' ' -f2 "$WORK/counts")" -eq 126
check the-manifest-itself-is-no-image grep -q 'MANIFEST.tsv"}$' "$WORK/c/quarantine.jsonl"
expect the-corpus-is-whole 0 "" verify "$WORK/c"
finish
