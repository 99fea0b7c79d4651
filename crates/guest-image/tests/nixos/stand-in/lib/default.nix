# Priorities are shown, conditions applied.
{
  mkDefault = value: { mkDefault = value; };
  mkForce = value: { mkForce = value; };
  optionals = condition: list: if condition then list else [ ];
  trivial = {
    release = "26.05";
    revisionWithDefault = _: "7c8764b7c7b0";
  };
}
