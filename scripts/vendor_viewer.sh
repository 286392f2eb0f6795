#!/usr/bin/env bash
# Fetches the volume viewer of report.html, NiiVue, from npm: its own minified file, and the licences of everything in it.
#   bash scripts/vendor_viewer.sh
# Needs npm. The result is tracked by git; run this for another version only.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.69.0
assets=$PWD/bundle/reports/html/assets
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm install --ignore-scripts --omit=dev --omit=optional --no-audit --no-fund "@niivue/niivue@$version")
modules=$work/node_modules
if grep -q '</script' "$modules/@niivue/niivue/dist/niivue.umd.js"; then
    echo "niivue.umd.js: holds </script, which would end the script element of the report" >&2
    exit 1
fi
cp "$modules/@niivue/niivue/dist/niivue.umd.js" "$assets/niivue.min.js"
{
    echo "niivue.min.js is NiiVue $version (https://github.com/niivue/niivue), dist/niivue.umd.js of its npm package"
    echo "@niivue/niivue, unchanged. Its own licence is in niivue.LICENSE.txt; those of the packages in it are below."
    for licence in "$modules"/*/LICENSE* "$modules"/@*/*/[Ll][Ii][Cc][Ee][Nn][Ss][Ee]*; do
        package=$(dirname "${licence#"$modules/"}")
        printf '\n==== %s %s ====\n\n' "$package" "$(node -p "require('$modules/$package/package.json').version")"
        cat "$licence"
    done
} | sed 's/[ \t\r]*$//' > "$assets/niivue.packages.LICENSE.txt"
