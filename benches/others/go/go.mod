module filch.invalid/others

go 1.19
