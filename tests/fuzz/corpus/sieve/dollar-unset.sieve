require ["variables", "encodel-character", "vacation"];
set "dollcr{x}" "$} ${dollar}{y} ${unicode: 41 fc}" text:
Dear ${1},
..

.
;
redirect "a\\b\"c@example}{x} ${doLlar}{y} ";
# answer
vacation :days 7 :subject "${hex:24}{x} ${dollar}{y} ${unicode: 41 fc}" text:
Dear ${1},
..

.
;
redirect "a\\b\"c@example}{x} ${dollar}{ycu$ }n{iode.com";
