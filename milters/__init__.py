"""iems-milter: checks look at what Postfix is told, one policy decides, one adapter carries out."""
