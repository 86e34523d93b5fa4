// A layer as KML 2.2, as `geosam-edge export` writes it: one style, typed fields, and a Placemark of its own for each part of an object.
// KML is longitude and latitude on WGS84 by definition, and so are saved objects.

import type { Feature, SavedProperties } from './wire'

type Position = number[]
type Geometry =
  | { type: 'Point'; coordinates: Position }
  | { type: 'MultiPoint' | 'LineString'; coordinates: Position[] }
  | { type: 'MultiLineString' | 'Polygon'; coordinates: Position[][] }
  | { type: 'MultiPolygon'; coordinates: Position[][][] }
  | { type: 'GeometryCollection'; geometries: Geometry[] }

/** Bright colours that stand out from imagery: blue, green, red, as KML wants them. */
const COLOURS = ['00d6ff', 'ffe500', '8140ff', '03ff76', '0091ff', 'ff78aa', '5252ff', 'ffffff']

/** CRC-32 (ISO 3309), by which a layer has the same colour in all its files. */
function crc32(text: string): number {
  let crc = ~0
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;', '\t': '&#9;', '\n': '&#10;', '\r': '&#13;' }

/** Text for XML 1.0, which cannot hold all characters. */
function escape(text: string): string {
  return text.replace(/[&<>"'\t\n\r]/g, (c) => ENTITIES[c] ?? c).replace(/[\u0000-\u001f\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd')
}

const coordinates = (positions: Position[]): string => `<coordinates>${positions.map((position) => position.slice(0, 3).join(',')).join(' ')}</coordinates>`

function polygon(rings: Position[][]): string {
  const boundaries = rings.map((ring, index) => {
    const name = index === 0 ? 'outerBoundaryIs' : 'innerBoundaryIs'
    return `<${name}><LinearRing>${coordinates(ring)}</LinearRing></${name}>`
  })
  return `<Polygon>${boundaries.join('')}</Polygon>`
}

/** The simple geometries of one, each as an element. Saved objects are polygons, but a layer's file may be edited by hand. */
function pieces(geometry: Geometry | null): string[] {
  const point = (position: Position) => `<Point>${coordinates([position])}</Point>`
  const line = (positions: Position[]) => `<LineString>${coordinates(positions)}</LineString>`
  switch (geometry?.type) {
    case 'Point':
      return [point(geometry.coordinates)]
    case 'MultiPoint':
      return geometry.coordinates.map(point)
    case 'LineString':
      return [line(geometry.coordinates)]
    case 'MultiLineString':
      return geometry.coordinates.map(line)
    case 'Polygon':
      return [polygon(geometry.coordinates)]
    case 'MultiPolygon':
      return geometry.coordinates.map(polygon)
    case 'GeometryCollection':
      return geometry.geometries.flatMap(pieces)
    default:
      return ['']
  }
}

/** What all values of a property fit; whole numbers of more than 32 bits have no type in KML, and GDAL 3.6 makes 0 of its bool. */
type Kind = 'bool' | 'int' | 'long' | 'double' | 'text'

const FIELDS: Record<Kind, string> = { bool: 'string', int: 'int', long: 'string', double: 'double', text: 'string' }

function kindOf(value: unknown): Kind | undefined {
  if (value === null || value === undefined) return undefined
  if (typeof value === 'boolean') return 'bool'
  if (typeof value !== 'number') return 'text'
  if (!Number.isInteger(value)) return 'double'
  return value === (value | 0) ? 'int' : 'long'
}

function merged(known: Kind | undefined, kind: Kind | undefined): Kind | undefined {
  if (known === undefined || kind === undefined || known === kind) return known ?? kind
  const both = [known, kind]
  if (both.some((one) => one === 'bool' || one === 'text')) return 'text'
  return both.includes('double') ? 'double' : 'long'
}

/** The properties of a feature by name, its own id first unless a property is called so. */
function cells(feature: Feature<SavedProperties>, ownId: boolean): [string, unknown][] {
  const properties = Object.entries(feature.properties as object)
  return ownId && feature.id !== undefined ? [['id', feature.id], ...properties] : properties
}

/** Names in order with their types, `id` first where it is the features' own. */
function columns(features: Feature<SavedProperties>[], ownId: boolean): Map<string, Kind> {
  const found = new Map<string, Kind | undefined>()
  for (const feature of features) {
    for (const [name, value] of cells(feature, ownId)) found.set(name, merged(found.get(name), name === 'id' && ownId ? 'text' : kindOf(value)))
  }
  const rank = (name: string) => (ownId && name === 'id' ? 0 : 1)
  const names = [...found.keys()].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
  return new Map(names.map((name) => [name, found.get(name) ?? 'text']))
}

function schema(layer: string, fields: Map<string, Kind>): string {
  if (!fields.size) return ''
  const lines = [...fields].map(([name, kind]) => `<SimpleField type="${FIELDS[kind]}" name="${escape(name)}"></SimpleField>\n`)
  return `<Schema name="${layer}" id="properties">\n${lines.join('')}</Schema>\n`
}

function data(feature: Feature<SavedProperties>, fields: Map<string, Kind>, ownId: boolean): string {
  const values = new Map(cells(feature, ownId))
  const texts = [...fields.keys()]
    .map((name): [string, unknown] => [name, values.get(name)])
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `<SimpleData name="${escape(name)}">${escape(typeof value === 'string' ? value : JSON.stringify(value))}</SimpleData>`)
  return texts.length ? `<ExtendedData><SchemaData schemaUrl="#properties">${texts.join('')}</SchemaData></ExtendedData>` : ''
}

/** A layer's objects as a document, piece by piece. */
export function kml(layer: string, features: Feature<SavedProperties>[]): string[] {
  const colour = COLOURS[crc32(layer) % COLOURS.length]
  const ownId = features.some((feature) => feature.id !== undefined) && !features.some((feature) => 'id' in (feature.properties as object))
  const fields = columns(features, ownId)
  const placemarks = features.map((feature, index) => {
    const [name, parts] = [String(feature.id ?? '') || `${layer}-${index + 1}`, pieces(feature.geometry as Geometry | null)]
    const told = data(feature, fields, ownId)
    const placemark = (element: string, part: number) =>
      `<Placemark><name>${escape(parts.length === 1 ? name : `${name}-${part + 1}`)}</name><styleUrl>#object</styleUrl>${told}${element}</Placemark>\n`
    return parts.map(placemark).join('')
  })
  return [
    `<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2">\n<Document>\n<name>${layer}</name>\n`,
    `<Style id="object"><LineStyle><color>ff${colour}</color><width>2</width></LineStyle><PolyStyle><color>4d${colour}</color></PolyStyle></Style>\n`,
    schema(layer, fields),
    ...(features.length ? placemarks : [`<Folder><name>${layer}</name></Folder>\n`]),
    '</Document>\n</kml>\n',
  ]
}
