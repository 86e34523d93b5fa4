// All that the page says, in English and Chinese, in one table.

const TABLE = {
  map: ['Map', '地图'],
  panel: ['Tools', '工具栏'],
  folder: ['Folder', '文件夹'],
  no_folder: ['no folder is served', '没有可用的文件夹'],
  not_ready: ['not ready', '未就绪'],
  folder_not_ready: ['This folder is not ready: {problem}', '该文件夹未就绪：{problem}'],
  hint: ['Click on an object in the map.', '点击地图上的目标。'],
  tools: ['Prompt', '提示工具'],
  foreground: ['+ Foreground', '+ 前景'],
  foreground_title: ['Click what belongs to the object', '点击属于目标的位置'],
  background: ['− Background', '− 背景'],
  background_title: ['Click what does not belong to it (also right click, Ctrl or Alt and click)', '点击不属于目标的位置（也可右键，或按住 Ctrl、Alt 点击）'],
  box: ['▭ Box', '▭ 方框'],
  box_title: ['Drag a box around the object (also Shift and drag)', '拖出包围目标的方框（也可按住 Shift 拖动）'],
  undo: ['Undo (Z)', '撤销 (Z)'],
  undo_title: ['Takes back the last point or box', '撤销上一个点或方框'],
  clear: ['Clear (C)', '清除 (C)'],
  clear_title: ['Takes back all points and boxes', '清除全部点和方框'],
  score: ['Score', '得分'],
  area: ['Area', '面积'],
  chip: ['Chip', '影像块'],
  layer: ['Saved objects', '已保存的目标'],
  layer_name: ['Layer', '图层'],
  save: ['Save (S)', '保存 (S)'],
  save_title: ['Saves the object in the layer', '把目标保存到图层'],
  unsave: ['Take back', '撤回'],
  unsave_title: ['Takes back the object saved last (Ctrl+Z)', '撤回最后保存的目标 (Ctrl+Z)'],
  objects_saved: ['{objects:object|objects} in this layer', '个目标在此图层'],
  download: ['Download', '下载'],
  layer_empty: ['{layer} is empty.', '{layer} 为空。'],
  layer_large: ['This layer has more than {megabytes} MB: take it with geosam-edge export on the board.', '该图层超过 {megabytes} MB：请在设备上用 geosam-edge export 导出。'],
  download_failed: ['The file could not be made: {problem}', '无法生成文件：{problem}'],
  search: ['Everything in the view', '视野内全部目标'],
  search_begin: ['Find all (Shift+E)', '查找全部 (Shift+E)'],
  search_begin_title: ['Finds all objects in the visible part of the map and saves them in the layer', '查找地图可见范围内的全部目标并保存到图层'],
  search_cancel: ['Cancel', '取消'],
  search_cancel_title: ['Ends the search; what was found stays in the layer', '结束查找；已找到的目标保留在图层中'],
  search_points: ['Points', '点密度'],
  search_coarse: ['few, for large objects', '少（大目标）'],
  search_medium: ['medium', '中'],
  search_fine: ['many, for small ones; slow', '多（小目标，较慢）'],
  search_waits: ['{layer}: waiting for the board', '{layer}：等待设备'],
  search_progress: ['{layer}: {done} of {total} {total:chip|chips}, {objects} {objects:object|objects}', '{layer}：已完成 {done}/{total} 个影像块，找到 {objects} 个目标'],
  search_done: ['{objects} {objects:object|objects} found on {chips} {chips:chip|chips}, saved in {layer}.', '在 {chips} 个影像块中找到 {objects} 个目标，已保存到 {layer}。'],
  search_skipped: ['{skipped} {skipped:chip|chips} could not be read.', '{skipped} 个影像块无法读取。'],
  search_cancelled: ['The search was ended; {objects} {objects:object is|objects are} in {layer}.', '查找已结束；{layer} 中有 {objects} 个目标。'],
  search_nowhere: ['Nothing of the folder is in view.', '视野内没有该文件夹的影像。'],
  options: ['Options', '选项'],
  preview: ['Preview under the pointer (P)', '指针处实时预览 (P)'],
  simplified: ['Simplified outline', '简化轮廓'],
  largest: ['Largest part only', '仅保留最大部分'],
  stitch: ['Follow over the borders of chips', '跨影像块拼接'],
  refine: ['Next point corrects the mask (M)', '下一个点修正当前掩膜 (M)'],
  refine_title: ['The next point or box starts from the mask that is shown, and not anew', '下一个点或方框从当前掩膜出发，而不是重新分割'],
  refine_cannot: ['The model of {folder} cannot correct a mask; import its checkpoint again on the board.', '{folder} 的模型不能修正掩膜；请在设备上重新导入其检查点。'],
  refine_other_chip: ['The point is on another chip than the mask, which was not used.', '该点与掩膜不在同一影像块，未使用原掩膜。'],
  show_chips: ['Show chips', '显示影像块'],
  keys: ['Keys and gestures', '按键与手势'],
  key_click: ['Click: foreground; right click, Ctrl or Alt and click: background', '点击：前景；右键、Ctrl 或 Alt 点击：背景'],
  key_box: ['Shift and drag: box', 'Shift 拖动：方框'],
  key_remove: ['Click on a point: removes it', '点击已有的点：移除'],
  key_letters: ['Z undo, C clear, S save, P preview, M correct the mask, F B R tools, Ctrl+Z take back, Shift+E everything in the view', 'Z 撤销，C 清除，S 保存，P 预览，M 修正掩膜，F B R 切换工具，Ctrl+Z 撤回，Shift+E 查找视野内全部目标'],
  key_map: ['On the map: arrows move, + and − zoom, Enter sets a point in the middle, Shift+Enter background', '在地图上：方向键移动，+ − 缩放，回车在中心设点，Shift+回车为背景'],
  extent: ['Whole folder', '全图'],
  zoom_in: ['Nearer', '放大'],
  zoom_out: ['Farther', '缩小'],
  theme: ['Dark or bright', '深色/浅色'],
  licences: ['Licences', '许可证'],
  connecting: ['connecting', '正在连接'],
  online: ['connected', '已连接'],
  offline: ['no connection; what you ask is sent later', '无连接；请求将在恢复后发送'],
  board_off: ['the board does not answer; what you ask waits', '设备无响应；请求正在等待'],
  busy: ['the board is busy; asking again', '设备忙；正在重试'],
  refused: ['the broker asks who you are', '消息服务器要求登录'],
  login_wanted: ['The broker wants a user and a password.', '消息服务器需要用户名和密码。'],
  user: ['User', '用户名'],
  password: ['Password', '密码'],
  log_in: ['Log in', '登录'],
  not_allowed: ['The broker does not let this user ask for "{verb}".', '消息服务器不允许该用户请求 "{verb}"。'],
  login_failed: ['The broker refuses this user or password.', '用户名或密码被拒绝。'],
  pyramid: ['The raster is being prepared: {percent} %', '正在准备影像：{percent} %'],
  no_raster: ['No raster beside this folder; its chips are drawn instead. {problem}', '该文件夹旁没有影像，仅显示影像块。{problem}'],
  nothing_here: ['The model finds nothing there.', '此处没有找到目标。'],
  saved: ['Saved in {layer}.', '已保存到 {layer}。'],
  taken_back: ['Taken back from {layer}.', '已从 {layer} 撤回。'],
  incomplete: ['The object may go on beyond what was followed.', '目标可能延伸到更远处。'],
  edge: ['The object touches the border of its chip; try "Follow over the borders of chips".', '目标触及影像块边界；可尝试“跨影像块拼接”。'],
  layer_bad: ['A layer has 1 to 64 of A-Z a-z 0-9 . _ - and no leading dot.', '图层名为 1 至 64 个 A-Z a-z 0-9 . _ - 字符，不以点开头。'],
  no_api: ['The board\'s page cannot be reached: {problem}', '无法访问设备页面：{problem}'],
  // Codes of the contract. The board says in English what is wrong with this request; who reads English needs no more.
  NO_CHIP_COVERS: ['No chip of the folder is there.', '该处没有影像块。'],
  OUTSIDE_CHIP: ['', '提示超出了所在的影像块；请缩小范围，或启用“跨影像块拼接”。'],
  NOTHING_TO_SAVE: ['', '没有可保存或可撤回的目标。'],
  TOO_MANY_LAYERS: ['', '图层已满；请保存到已有图层，或删除某个图层中的目标。'],
  LAYER_FULL: ['', '该图层已达上限；请保存到其他图层，或删除不再需要的目标。'],
  FOLDER_NOT_READY: ['', '文件夹暂不可用；就绪后请重试。'],
  MODEL_MISSING: ['', '尚未导入该文件夹的模型。'],
  MODEL_MISMATCH: ['', '导入的模型与该文件夹不符。'],
  CHIP_UNREADABLE: ['', '影像块文件缺失或损坏；请重新复制。'],
  TOO_LARGE: ['', '结果过大；请启用“仅保留最大部分”或缩小范围。'],
  UNDELIVERABLE: ['', '消息服务器未放行该结果。'],
  CARD_ERROR: ['', '存储卡缺失、已满或出错。'],
  INTERNAL: ['', '设备内部错误；请查看日志。'],
} as const

export type TextKey = keyof typeof TABLE
export type Language = 'en' | 'zh'

const KEY = 'geosam-language'

function initial(): Language {
  const kept = localStorage.getItem(KEY)
  if (kept === 'en' || kept === 'zh') return kept
  return navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en'
}

let language: Language = initial()

/** The language in use. */
export function current(): Language {
  return language
}

/** Whether there is a text of a name that comes from elsewhere. */
export function isKey(name: string): name is TextKey {
  return Object.hasOwn(TABLE, name)
}

/** A text, with values in place of their names in braces; `{n:one|many}` is one of two words, as the number n wants. */
export function say(key: TextKey, values: Record<string, string> = {}): string {
  const text: string = TABLE[key][language === 'en' ? 0 : 1]
  return text.replace(/\{(\w+)(?::([^|}]*)\|([^}]*))?\}/g, (whole, name: string, one?: string, many?: string) => {
    const value = values[name] ?? whole
    return one === undefined || many === undefined ? value : value === '1' ? one : many
  })
}

/** Chooses a language, and writes all texts of the page anew. */
export function speak(chosen: Language): void {
  language = chosen
  localStorage.setItem(KEY, chosen)
  document.documentElement.lang = chosen === 'zh' ? 'zh-CN' : 'en'
  for (const [attribute, write] of [
    ['text', (e: HTMLElement, t: string) => void (e.textContent = t)],
    ['title', (e: HTMLElement, t: string) => void (e.title = t)],
    ['label', (e: HTMLElement, t: string) => e.setAttribute('aria-label', t)],
  ] as const) {
    for (const element of document.querySelectorAll<HTMLElement>(`[data-${attribute}]`)) {
      const key = element.dataset[attribute]
      if (key && isKey(key)) write(element, say(key))
    }
  }
}
