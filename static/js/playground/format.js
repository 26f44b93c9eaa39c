// How numbers are written, as on the server's pages.

export const number = (value) => value.toLocaleString("en");

export function milliseconds(value) {
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(value < 10000 ? 1 : 0)} s`;
}

/** Picodollars as dollars; under a dollar three digits count. */
export function dollars(picousd) {
  const amount = picousd / 1e12;
  if (amount === 0) return "$0.00";
  if (amount >= 1) return `$${amount.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  if (amount < 0.000001) return "<$0.000001";
  const text = amount.toFixed(Math.min(12, 2 - Math.floor(Math.log10(amount))));
  return `$${text.replace(/0+$/, "").replace(/\.(\d?)$/, (_, digit) => `.${digit.padEnd(2, "0")}`)}`;
}

/** The usual rule of thumb: four characters to a token. */
export const tokensOf = (text) => Math.ceil(text.length / 4);

/** What a call costs at these prices per token: [input, output, per request]. */
export function cost(price, input, output) {
  return price ? price[0] * input + price[1] * output + price[2] : 0;
}
