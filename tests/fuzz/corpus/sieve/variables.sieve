require ["variables", "encoded-character", "vacation"];
set "dollar" "$";
# answer
vacation :days 7 :subject "${hex:24}{x} ${dollar}{y} ${unicode: 41 fc}" text:
Dear ${1},
..

.
;
redirect "a\\b\"c@example.com";
